import os, signal
r, w = os.pipe(); pid = os.fork()
if not pid:
    signal.signal(signal.SIGTERM, lambda n, f: (os.write(w, b"caught"), os._exit(3)))
    os.write(w, b"ready")
    while True: signal.pause()
print(os.read(r, 5)); os.kill(pid, 15); print(os.read(r, 6), os.waitstatus_to_exitcode(os.wait()[1]))
