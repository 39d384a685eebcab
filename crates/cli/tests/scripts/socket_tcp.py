import socket, threading, errno
l = socket.create_server(("127.0.0.1", 0)); port = l.getsockname()[1]
def serve():
    c, a = l.accept()
    with c, c.makefile("rwb") as f:
        for line in f: f.write(line.swapcase()); f.flush()
t = threading.Thread(target=serve); t.start(); c = socket.create_connection(("127.0.0.1", port)); f = c.makefile("rw")
for x in "one", "TWO": print(x, file=f, flush=True); print(f.readline(), end="")
c.shutdown(socket.SHUT_WR); print(repr(f.read())); t.join(); c.close(); l.close()
print(socket.socket().connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED)
s = socket.socket(); s.settimeout(0.02); s.bind(("127.0.0.1", 0)); s.listen()
try: s.accept()
except socket.timeout as e: print(e)
s.setblocking(False)
try: s.accept()
except BlockingIOError as e: print(e)
d = socket.create_connection(s.getsockname()); print(s.accept()[0].getpeername() == d.getsockname(), d.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
