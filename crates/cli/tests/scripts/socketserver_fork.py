import os, socket, socketserver, threading
class H(socketserver.StreamRequestHandler):
    def handle(self): self.wfile.write(self.rfile.readline().upper())
class S(socketserver.ForkingMixIn, socketserver.TCPServer): allow_reuse_address = True
s = S(("127.0.0.1", 0), H); t = threading.Thread(target=s.serve_forever, args=(0.01,)); t.start()
for i in range(3):
    with socket.create_connection(s.server_address) as c: c.sendall(b"line %d\n" % i); print(c.makefile().read(), end="")
s.shutdown(); t.join(); s.server_close()
