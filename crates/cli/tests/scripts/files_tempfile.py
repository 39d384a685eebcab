import os, tempfile, stat
with tempfile.NamedTemporaryFile() as f: f.write(b"abc"); f.flush(); print(os.path.getsize(f.name), oct(os.stat(f.name).st_mode))
print(os.path.exists(f.name))
with tempfile.TemporaryDirectory() as d: open(d + "/x", "w").write("y"); print(os.listdir(d), oct(os.stat(d).st_mode))
with tempfile.TemporaryFile() as f: f.write(b"z" * 10); print(f.tell(), os.fstat(f.fileno()).st_nlink)
with tempfile.SpooledTemporaryFile(max_size=4) as f: f.write(b"123456"); f.seek(0); print(f.read())
