# Policies, SCHED_RESET_ON_FORK and sched_setattr: set, got, inherited. And O_ASYNC where it means nothing.
import ctypes, errno, fcntl, os, struct, tempfile
libc = ctypes.CDLL(None, use_errno=True)
def getattr_():
    b = ctypes.create_string_buffer(64); libc.syscall(315, 0, b, 56, 0); return struct.unpack("IIQiI", b.raw[:24])
def setattr_(size=56, policy=0, flags=0, nice=0, priority=0, pid=0, what=0):
    attr = struct.pack("IIQiIQQQII", size, policy, flags, nice, priority, 0, 0, 0, 0, 0)
    ctypes.set_errno(0); result = libc.syscall(314, pid, ctypes.create_string_buffer(attr, 64), what)
    print((size, policy, flags, nice, priority, pid, what), result, errno.errorcode.get(ctypes.get_errno()), getattr_())
def child(): 
    if os.fork() == 0: print("child", hex(os.sched_getscheduler(0)), getattr_(), flush=True); os._exit(0)
    os.wait()
if os.getuid() == 0: os.setresuid(65534, 65534, 65534)
print(hex(os.sched_getscheduler(0)), getattr_())
setattr_(nice=3); setattr_(nice=1); setattr_(policy=3, nice=4); child()
setattr_(policy=1, priority=0); setattr_(policy=0, priority=1); setattr_(policy=1, priority=5); setattr_(policy=99)
setattr_(size=47); setattr_(size=0, nice=5); setattr_(size=5000); setattr_(flags=0x80); setattr_(pid=-1); setattr_(pid=30_000_000); setattr_(what=1)
setattr_(flags=8, nice=9, policy=5); setattr_(flags=16, nice=19, policy=3); setattr_(nice=99)
os.sched_setscheduler(0, 0x40000000 | os.SCHED_BATCH, os.sched_param(0)); print(hex(os.sched_getscheduler(0)), getattr_()); child()
try: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
except OSError as e: print(e.strerror)
with tempfile.TemporaryFile() as f:
    print(fcntl.fcntl(f, fcntl.F_SETFL, os.O_ASYNC), bool(fcntl.fcntl(f, fcntl.F_GETFL) & os.O_ASYNC))
    try: fcntl.ioctl(f, 0x5452, struct.pack("i", 0))
    except OSError as e: print(e.strerror)
