import threading
e = threading.Event(); print(e.wait(0.01))
threading.Timer(0.02, e.set).start(); print(e.wait(5))
b = threading.Barrier(3); s = threading.Semaphore(2); out = []
def f(i):
    b.wait()
    with s: out.append(i)
ts = [threading.Thread(target=f, args=(i,), daemon=True) for i in range(3)]
[t.start() for t in ts]; [t.join() for t in ts]; print(sorted(out))
