import os, select, socket
r, w = os.pipe(); print(select.select([r], [w], [], 0) == ([], [w], []), select.select([r], [], [], 0.01)); os.write(w, b"x")
p = select.poll(); p.register(r, select.POLLIN); p.register(w, select.POLLOUT); print([e for f, e in p.poll(0)])
os.close(w); p.unregister(w); print([e for f, e in p.poll()]); os.read(r, 9); print([e for f, e in p.poll()])
a, b = socket.socketpair(); p = select.poll(); p.register(a, select.POLLIN | select.POLLRDHUP); b.shutdown(1); print([e for f, e in p.poll()]); b.close(); print([e for f, e in p.poll()])
p = select.poll(); p.register(999); print(p.poll(1)); print(select.poll().poll(10))
