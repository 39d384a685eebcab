import os
r, w = os.pipe()
if not os.fork():
    os.dup2(w, 1); os.close(r); os.execv("/bin/echo", ["echo", "from", "child"])
os.close(w)
with os.fdopen(r) as f: print(f.read(), end="")
print(os.wait()[1])
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], os.environ); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
try: os.execv("/etc/passwd", ["x"])
except PermissionError as e: print(e.errno)
fd = os.pidfd_open(os.getpid()); print(os.get_inheritable(fd)); print(os.WEXITSTATUS(os.system("exit 6")))
print(os.popen("echo popen").read())
