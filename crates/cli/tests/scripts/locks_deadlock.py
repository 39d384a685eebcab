import fcntl, os, tempfile, time
p = tempfile.mkdtemp() + "/l"; a = open(p, "w+"); fcntl.lockf(a, fcntl.LOCK_EX, 1, 0); r, w = os.pipe()
if not os.fork():
    fcntl.lockf(a, fcntl.LOCK_EX, 1, 1); os.write(w, b"x"); fcntl.lockf(a, fcntl.LOCK_EX, 1, 0); os._exit(0)
os.read(r, 1); time.sleep(0.05)
try: fcntl.lockf(a, fcntl.LOCK_EX, 1, 1)
except OSError as e: print(e)
fcntl.lockf(a, fcntl.LOCK_UN); print(os.wait()[1])
