import ctypes, os
l = ctypes.CDLL(None, use_errno=True); print(l.getpid() == os.getpid(), l.strlen(b"hello"), l.abs(-5)); print(l.close(999), os.strerror(ctypes.get_errno()))
CMP = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)); a = (ctypes.c_int * 5)(5, 1, 4, 2, 3); l.qsort(a, 5, 4, CMP(lambda x, y: x[0] - y[0])); print(list(a)); print(l.syscall(39) == os.getpid(), l.syscall(186) == os.getpid()); print(l.prctl(15, b"renamed", 0, 0, 0), open("/proc/self/comm").read(), end="")
import ctypes.util; print(ctypes.CDLL("libm.so.6").floor and "libm")
