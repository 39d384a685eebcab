import os, select, socket
a, b = socket.socketpair(); a.setblocking(False)
with select.epoll() as e:
    e.register(a, select.EPOLLIN | select.EPOLLET); print(e.poll(0)); b.send(b"one")
    print([x for f, x in e.poll(1)], e.poll(0)); b.send(b"two"); print([x for f, x in e.poll(1)]); print(a.recv(99), e.poll(0))
    e.modify(a, select.EPOLLIN | select.EPOLLONESHOT); b.send(b"3"); print(len(e.poll(1)), len(e.poll(0))); e.modify(a, select.EPOLLIN); print(len(e.poll(0)))
    try: e.register(a)
    except FileExistsError as x: print(x)
    try: e.register(open("/etc/passwd"))
    except PermissionError as x: print(x)
    e.unregister(a); 
    try: e.unregister(a)
    except FileNotFoundError as x: print(x)
    r, w = os.pipe(); e.register(w, select.EPOLLOUT | select.EPOLLET); print([x for f, x in e.poll(0)], e.poll(0)); os.close(r); print([x for f, x in e.poll(0)])
    outer = select.epoll(); outer.register(e, select.EPOLLIN); e.register(a, select.EPOLLIN); print(len(outer.poll(0)))
