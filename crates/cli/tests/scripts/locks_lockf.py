import fcntl, os, struct, tempfile
p = tempfile.mkdtemp() + "/l"; a = open(p, "w+"); fcntl.lockf(a, fcntl.LOCK_EX, 10, 5)
if not os.fork():
    b = open(p, "r+")
    try: fcntl.lockf(b, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 6)
    except BlockingIOError as e: print(e, flush=True)
    fcntl.lockf(b, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 20); k = fcntl.fcntl(b, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)); t = struct.unpack("hhqqi4x", k); print(t[:4], t[4] == os.getppid(), flush=True); fcntl.lockf(b, fcntl.LOCK_EX, 1, 6); print("got it", flush=True); os._exit(0)
import time; time.sleep(0.1); open(p).close() ; os.wait(); print("close of another descriptor released it")
k = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0); fcntl.fcntl(a, 37, k); 
try: fcntl.fcntl(open(p, "r+"), 37, k)
except BlockingIOError as e: print("ofd", e)
