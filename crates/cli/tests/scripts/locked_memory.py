# mlock, mlockall and MAP_LOCKED within RLIMIT_MEMLOCK, for somebody without privilege.
import ctypes, errno, os, resource
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
FAILED = ctypes.c_void_p(-1).value
def locked(): return [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmLck")][0]
def said(result): return errno.errorcode[ctypes.get_errno()] if result in (-1, FAILED) else "ok"
def call(name, *args):
    ctypes.set_errno(0); result = getattr(libc, name)(*args); print(name, args if name == "mlockall" else "", said(result), locked()); return result
def mmap(length, flags=0x22):
    ctypes.set_errno(0); at = libc.mmap(None, ctypes.c_size_t(length), 3, flags, -1, ctypes.c_long(0)); print("mmap", length, hex(flags), said(at), locked()); return at
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
if os.getuid() == 0: os.setresuid(65534, 65534, 65534)
for flags in (0, 4, 8, 2): call("mlockall", flags)
at = mmap(32768)
mmap(65536)
ctypes.set_errno(0); print("mremap", said(libc.mremap(ctypes.c_void_p(at), ctypes.c_size_t(32768), ctypes.c_size_t(131072), 1)))
print("brk", libc.sbrk(1 << 20) == -1)
if os.fork() == 0:
    print("child", locked()); mmap(131072); os._exit(0)
os.wait()
call("munlockall"); mmap(65536); mmap(131072, 0x2022); at = mmap(16384, 0x2022)
call("mlock", ctypes.c_void_p(at), ctypes.c_size_t(4096)); call("munlock", ctypes.c_void_p(at), ctypes.c_size_t(16384))
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
mmap(4096, 0x2022); call("mlockall", 2)
