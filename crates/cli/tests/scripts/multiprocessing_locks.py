import multiprocessing as mp
def inc(l, v, a):
    for i in range(50):
        with l: v.value += 1; a[i % 3] += 1
if __name__ == "__main__":
    mp.set_start_method("fork"); l, v, a = mp.Lock(), mp.RawValue("i"), mp.RawArray("i", 3); ps = [mp.Process(target=inc, args=(l, v, a)) for _ in range(4)]
    [p.start() for p in ps]; [p.join() for p in ps]; print(v.value, list(a), [p.exitcode for p in ps])
    e = mp.Event(); c = mp.Process(target=e.wait); c.start(); e.set(); c.join(); print(c.exitcode); s = mp.Semaphore(0); print(s.acquire(timeout=0.02))
    b = mp.Barrier(2); c = mp.Process(target=b.wait); c.start(); b.wait(); c.join(); c = mp.Process(target=s.acquire); c.start(); c.kill(); c.join(); print(c.exitcode)
