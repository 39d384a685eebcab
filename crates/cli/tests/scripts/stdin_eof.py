import sys
print(repr(sys.stdin.read()), sys.stdin.isatty())
try: input()
except EOFError as e: print(e)
