import multiprocessing as mp, os
def f(x): return x * x
def child(q, c, l, v):
    with l: v.value += 1
    q.put("from child"); c.send([1, {"a": 2}]); c.close()
if __name__ == "__main__":
    mp.set_start_method("fork")
    q, l, v = mp.Queue(), mp.Lock(), mp.Value("i", 0); a, b = mp.Pipe()
    p = mp.Process(target=child, args=(q, b, l, v)); p.start(); b.close(); print(q.get(), a.recv())
    try: a.recv()
    except EOFError: print("EOF")
    p.join(); print(p.exitcode, v.value)
    with mp.Pool(2) as pool: print(pool.map(f, range(10)))
