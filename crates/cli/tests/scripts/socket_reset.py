import socket, struct
def pair():
    l = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(l.getsockname()); return c, l.accept()[0]
c, s = pair(); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
try: c.recv(1)
except ConnectionResetError as e: print(e)
c, s = pair(); c.send(b"unread"); s.close()
try: print(c.recv(1))
except ConnectionResetError as e: print(e)
c, s = pair(); s.close(); print(c.recv(1), c.send(b"x"))
import time; time.sleep(0.05)
try: c.send(b"y")
except BrokenPipeError as e: print(e)
