import fcntl, os, tempfile
p = tempfile.mkdtemp() + "/l"; a = open(p, "w"); b = open(p); fcntl.flock(a, fcntl.LOCK_EX)
try: fcntl.flock(b, fcntl.LOCK_SH | fcntl.LOCK_NB)
except BlockingIOError as e: print(e)
r, w = os.pipe()
if not os.fork(): c = open(p); fcntl.flock(c, fcntl.LOCK_EX); os.write(w, b"got"); os._exit(0)
import time; time.sleep(0.05); os.write(w, b"rel"); fcntl.flock(a, fcntl.LOCK_UN); os.wait(); print(os.read(r, 9)); fcntl.flock(a, fcntl.LOCK_SH); fcntl.flock(b, fcntl.LOCK_SH); print("shared")
