import os, tempfile
p = tempfile.mkdtemp() + "/f"; os.mkfifo(p)
try: os.open(p, os.O_WRONLY | os.O_NONBLOCK)
except OSError as e: print(e.errno)
if not os.fork():
    with open(p, "w") as f: f.write("through the fifo\n")
    os._exit(0)
with open(p) as f: print(f.read(), end="")
r, w = os.pipe2(os.O_NONBLOCK); n = 0
try:
    while True: n += os.write(w, b"x" * 4096)
except BlockingIOError: print(n)
import fcntl; print(fcntl.fcntl(w, fcntl.F_GETPIPE_SZ), fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 1 << 17)); import array, termios; b = array.array("i", [0]); fcntl.ioctl(r, termios.FIONREAD, b); print(b[0])
