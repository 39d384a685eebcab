import os
print(os.cpu_count() >= 1, os.getlogin.__name__, os.ctermid(), os.confstr("CS_PATH"))
fd = os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600); os.write(fd, b"tmpfile"); print(os.pread(fd, 99, 0), os.fstat(fd).st_nlink, os.statvfs("/tmp").f_namemax, oct(os.umask(0o27)), oct(os.umask(0)))
