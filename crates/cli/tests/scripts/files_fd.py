import os, tempfile, fcntl
f, p = tempfile.mkstemp(); os.write(f, b"0123456789"); print(os.pread(f, 3, 2), os.pwrite(f, b"AB", 4), os.lseek(f, 0, 0), os.read(f, 99), os.lseek(f, -2, 2))
print(os.writev(f, [b"x", b"yz"]), os.preadv(f, [bytearray(2)], 1)); os.ftruncate(f, 4); print(os.fstat(f).st_size); os.posix_fallocate(f, 0, 8192); print(os.fstat(f).st_size); print(os.lseek(f, 0, os.SEEK_DATA), os.lseek(f, 0, os.SEEK_HOLE)); g = os.dup(f); os.lseek(f, 7, 0); print(os.lseek(g, 0, 1))
d = os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY); print(os.stat(os.path.basename(p), dir_fd=d).st_size, os.access(p, os.R_OK), os.isatty(f)); a = os.open(p, os.O_WRONLY | os.O_APPEND); os.write(a, b"end"); print(os.fstat(f).st_size, fcntl.fcntl(a, fcntl.F_GETFL) & os.O_APPEND, fcntl.fcntl(a, fcntl.F_GETFD))
os.fsync(f); os.unlink(p); print(os.fstat(f).st_nlink, os.readlink(f"/proc/self/fd/{f}").endswith(" (deleted)"))
fd = os.memfd_create("m"); os.write(fd, b"mem"); print(os.pread(fd, 9, 0), os.eventfd_read(os.eventfd(3)))
try: os.open(p, os.O_RDONLY)
except FileNotFoundError as e: print(e.errno)
