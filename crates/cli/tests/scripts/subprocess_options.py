import os, subprocess
r, w = os.pipe()
p = subprocess.Popen(["sh", "-c", f"echo x >&{w}; pwd; echo $V"], pass_fds=[w], cwd="/usr", env={"V": "v", "PATH": "/bin"}, stdout=subprocess.PIPE)
print(p.communicate(), os.read(r, 9))
p = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True); print(p.stdout.split())
p = subprocess.run(["sh", "-c", "umask; ulimit -n 20; ulimit -n"], preexec_fn=lambda: os.umask(0o77), capture_output=True, text=True); print(p.stdout)
