import os, signal, socket, time
l = socket.create_server(("127.0.0.1", 0)); r, w = os.pipe(); pid = os.fork()
if not pid: c = [l.accept()[0] for _ in range(2)]; os.write(w, b"x"); signal.pause()
clean, unread, queued = (socket.create_connection(l.getsockname()) for _ in range(3)); l.close(); os.read(r, 1); unread.send(b"never read"); time.sleep(0.02); os.kill(pid, 9); os.wait()
for s in (clean, unread, queued):
    try: print(s.recv(1))
    except OSError as e: print(e)
