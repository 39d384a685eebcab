import queue, threading
q, out = queue.Queue(2), queue.Queue()
def work():
    while (x := q.get()) is not None: out.put(x * x); q.task_done()
ts = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in ts]
for i in range(20): q.put(i)
q.join(); [q.put(None) for t in ts]; [t.join() for t in ts]
print(sorted(out.get() for _ in range(20)))
try: out.get(timeout=0.02)
except queue.Empty: print("empty")
