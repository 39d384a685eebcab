import socket, tempfile, os
f = tempfile.TemporaryFile(); f.write(os.urandom(0) + b"data" * 5000); f.flush(); a, b = socket.socketpair(); f.seek(0)
import threading; out = []
t = threading.Thread(target=lambda: out.append(b.makefile("rb").read())); t.start(); print(a.sendfile(f)); a.close(); t.join(); print(len(out[0]), out[0][:8])
