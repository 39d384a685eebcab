import sqlite3, tempfile, os
p = tempfile.mkdtemp() + "/db"; c = sqlite3.connect(p); c.execute("create table t(a, b)"); c.executemany("insert into t values(?,?)", [(i, str(i)) for i in range(500)]); c.commit()
print(c.execute("select count(*), sum(a) from t").fetchone()); c.execute("begin exclusive"); d = sqlite3.connect(p, timeout=0.05)
try: d.execute("select * from t").fetchall()
except sqlite3.OperationalError as e: print(e)
c.rollback(); print(d.execute("select max(a) from t").fetchone()); c.execute("delete from t where a > 10"); c.rollback(); print(d.execute("select count(*) from t").fetchone(), sorted(os.listdir(os.path.dirname(p)))); c.execute("vacuum"); print(c.execute("pragma integrity_check").fetchone())
