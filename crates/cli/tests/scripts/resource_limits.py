import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16)); print(resource.getrlimit(resource.RLIMIT_NOFILE)); fds = []
try:
    while True: fds.append(os.dup(0))
except OSError as e: print(e, fds[-1])
[os.close(f) for f in fds]; resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY)); import signal, tempfile; f, p = tempfile.mkstemp(); print(os.write(f, b"x" * 200))
try: print(os.write(f, b"y"))
except OSError as e: print(e)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2); u = resource.getrusage(resource.RUSAGE_SELF); print(u.ru_utime >= 0, u.ru_maxrss > 0, resource.getpagesize()); resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
try: bytearray(1 << 30)
except MemoryError: print("MemoryError")
print(resource.prlimit(0, resource.RLIMIT_CPU), os.getpriority(os.PRIO_PROCESS, 0), os.nice(3), os.times().user >= 0)
