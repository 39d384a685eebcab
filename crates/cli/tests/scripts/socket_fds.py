import os, socket
a, b = socket.socketpair(); r, w = os.pipe()
if not os.fork():
    m, fds, fl, ad = socket.recv_fds(b, 10, 2); os.write(fds[0], b"through a passed fd"); os._exit(0)
socket.send_fds(a, [b"m"], [w]); os.close(w); os.wait(); print(os.read(r, 99), os.read(r, 1))
print(a.sendmsg([b"a", b"bc"]), b.recvmsg(10)); a.send(b"peek"); print(b.recv(2, socket.MSG_PEEK), b.recv(9)); buf = bytearray(4); a.send(b"into"); b.recv_into(buf); print(buf)
a.send(b"12345678"); x, y = bytearray(3), bytearray(9); print(b.recvmsg_into([x, y])[0], x, y[:5])
