import os, pathlib, shutil, tempfile, glob
d = pathlib.Path(tempfile.mkdtemp()); (d / "a/b/c").mkdir(parents=True); (d / "a/f.txt").write_text("text"); (d / "a/b/g.py").write_bytes(b"1234"); (d / "l").symlink_to("a"); os.link(d / "a/f.txt", d / "h")
for p, ds, fs in os.walk(d): ds.sort(); print(os.path.relpath(p, d), ds, sorted(fs))
print(sorted(str(p.relative_to(d)) for p in d.rglob("*.*")), (d / "h").stat().st_nlink, os.readlink(d / "l"), (d / "l/b").resolve().relative_to(d))
shutil.copytree(d / "a", d / "copy"); shutil.move(d / "copy", d / "moved"); print(sorted(os.listdir(d)), shutil.copy2(d / "h", d / "i") == d / "i"); print(shutil.make_archive(str(d / "z"), "gztar", d / "a")[-8:], shutil.which("sh") is not None, shutil.disk_usage("/").total > 0)
for e in sorted(os.scandir(d), key=lambda e: e.name): print(e.name, e.is_dir(), e.is_symlink(), e.is_file(follow_symlinks=False))
shutil.rmtree(d / "a"); print((d / "l").exists(), os.path.lexists(d / "l")); os.chmod(d / "h", 0o640); os.utime(d / "h", (1, 2)); print(oct((d / "h").stat().st_mode), (d / "h").stat().st_mtime)
for f in (lambda: os.mkdir(d), lambda: os.rmdir(d), lambda: os.unlink(d), lambda: os.rename(d / "no", d / "x"), lambda: open(d / "h/x")):
    try: f()
    except OSError as e: print(type(e).__name__, e.errno)
os.truncate(d / "h", 10000); print((d / "h").stat().st_size, len((d / "h").read_bytes()))
