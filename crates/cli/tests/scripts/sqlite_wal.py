import sqlite3, tempfile, os
p = tempfile.mkdtemp() + "/db"; c = sqlite3.connect(p); print(c.execute("pragma journal_mode=wal").fetchone()); c.execute("create table t(a)"); c.commit(); r, w = os.pipe(); c.close()
if not os.fork():
    c = sqlite3.connect(p)
    for i in range(50): c.execute("insert into t values(?)", (i,)); c.commit()
    os.write(w, b"x"); os.read(os.open("/dev/null", 0), 1); import time; time.sleep(0.1); os._exit(0)
os.read(r, 1); c = sqlite3.connect(p); print(c.execute("select count(*), sum(a) from t").fetchone(), sorted(os.listdir(os.path.dirname(p)))); c.execute("insert into t values(1000)"); c.commit(); os.wait(); print(c.execute("pragma wal_checkpoint").fetchone()); c.close(); print(os.listdir(os.path.dirname(p)))
