import multiprocessing as mp
def f(d, l): d["x"] = 1; l.append(2)
if __name__ == "__main__":
    mp.set_start_method("fork")
    with mp.Manager() as m:
        d, l = m.dict(), m.list(); p = mp.Process(target=f, args=(d, l)); p.start(); p.join(); print(dict(d), list(l))
