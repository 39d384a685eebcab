import subprocess
try: subprocess.run(["sleep", "100"], timeout=0.05)
except subprocess.TimeoutExpired as e: print(e.cmd)
p = subprocess.Popen(["sleep", "100"]); print(p.poll()); p.terminate(); print(p.wait())
p = subprocess.Popen(["sleep", "100"]); p.kill(); print(p.wait(timeout=5))
p = subprocess.Popen(["sleep", "100"], start_new_session=True); import os
print(os.getpgid(p.pid) == p.pid, os.getsid(p.pid) == p.pid); os.killpg(p.pid, 15); print(p.wait())
