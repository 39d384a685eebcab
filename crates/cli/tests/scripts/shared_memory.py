from multiprocessing import shared_memory
import os
s = shared_memory.SharedMemory(create=True, size=8192, name="afl_test"); s.buf[:5] = b"hello"
print(os.path.getsize("/dev/shm/afl_test"), open("/dev/shm/afl_test", "rb").read(5))
if not os.fork():
    t = shared_memory.SharedMemory(name="afl_test"); t.buf[0:1] = b"J"; t.close(); os._exit(0)
os.wait(); print(bytes(s.buf[:5]))
with open("/dev/shm/afl_test", "r+b") as f: f.seek(1); f.write(b"ELLY")
print(bytes(s.buf[:6])); s.close(); s.unlink(); print(os.path.exists("/dev/shm/afl_test"))
