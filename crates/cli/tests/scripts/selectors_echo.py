import selectors, socket, threading
s = selectors.DefaultSelector(); l = socket.create_server(("127.0.0.1", 0)); l.setblocking(False); s.register(l, 1); out = []
def client(i):
    with socket.create_connection(l.getsockname()) as c: c.sendall(b"hi%d" % i); out.append(c.recv(9))
ts = [threading.Thread(target=client, args=(i,)) for i in range(5)]; [t.start() for t in ts]; closed = 0
while closed < 5:
    for k, m in s.select(5):
        if k.fileobj is l: c, _ = l.accept(); c.setblocking(False); s.register(c, selectors.EVENT_READ)
        elif d := k.fileobj.recv(99): k.fileobj.sendall(d.upper())
        else: s.unregister(k.fileobj); k.fileobj.close(); closed += 1
[t.join() for t in ts]; print(sorted(out), type(s).__name__)
for c in (selectors.PollSelector, selectors.SelectSelector):
    with c() as x: x.register(l, 1); print(x.select(0.01))
