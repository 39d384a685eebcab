import threading
lock = threading.Lock(); total = 0
def work():
    global total
    for _ in range(200):
        with lock: total += 1
ts = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
print(total, threading.active_count())
