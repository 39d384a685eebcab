import mmap, os, tempfile
f = tempfile.TemporaryFile(); f.write(b"a" * 8192); f.flush(); m = mmap.mmap(f.fileno(), 8192); m[:5] = b"hello"; print(os.pread(f.fileno(), 6, 0)); os.pwrite(f.fileno(), b"WORLD", 100); print(m[99:106])
if not os.fork(): m[4096:4100] = b"kid!"; os.pwrite(f.fileno(), b"too", 200); os._exit(0)
os.wait(); print(m[4095:4101], m[199:204], os.pread(f.fileno(), 4, 4096)); p = mmap.mmap(f.fileno(), 8192, access=mmap.ACCESS_COPY); p[0:1] = b"P"; print(m[:1], p[:2]); m.flush(); m.resize(16384); print(len(m), os.fstat(f.fileno()).st_size); m[12000:12003] = b"new"; print(os.pread(f.fileno(), 3, 12000)); r = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); print(len(r), r.find(b"new"))
try: r[0:1] = b"x"
except TypeError as e: print(e)
a = mmap.mmap(-1, 4096)
if not os.fork(): a.write(b"anonymous"); os._exit(0)
os.wait(); print(a.readline()[:9]); os.ftruncate(f.fileno(), 3); f.seek(0); print(f.read())
