import os, signal, socket, select
a, b = socket.socketpair(); a.setblocking(False); b.setblocking(False)
signal.signal(signal.SIGUSR1, lambda *a: None); signal.set_wakeup_fd(b.fileno())
os.kill(os.getpid(), signal.SIGUSR1); print(select.select([a], [], [], 5)[0] == [a], a.recv(10))
signal.signal(signal.SIGCHLD, lambda *a: None); signal.siginterrupt(signal.SIGCHLD, False)
if not os.fork(): os._exit(0)
select.select([a], [], [], 5); print(a.recv(10)); os.wait()
