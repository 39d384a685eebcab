import atexit, sys
atexit.register(print, "at exit"); sys.exit("an error message")
