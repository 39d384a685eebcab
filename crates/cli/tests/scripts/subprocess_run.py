import subprocess, sys
r = subprocess.run(["sh", "-c", "cat; echo err >&2; exit 3"], input=b"in", capture_output=True)
print(r.returncode, r.stdout, r.stderr)
print(subprocess.check_output(["echo", "hi"], text=True), end="")
print(subprocess.run("kill -9 $$", shell=True).returncode)
try: subprocess.run(["/nosuch"])
except FileNotFoundError as e: print(e.errno, e.filename)
print(subprocess.run([sys.executable, "-c", "import sys; sys.exit(7)"]).returncode)
