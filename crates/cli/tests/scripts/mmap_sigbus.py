import mmap, os, tempfile
f = tempfile.TemporaryFile(); f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); f.truncate(4096)
pid = os.fork()
if not pid:
    import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); m[5000]
print(os.wait()[1] & 127, m[4000])
