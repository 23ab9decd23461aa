import os
import sqlite3
import tempfile

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "a.db")
    with sqlite3.connect(path) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("create table t (n integer, square integer generated always as (n * n))")
        db.executemany("insert into t (n) values (?)", ((n,) for n in range(1000)))
    db.close()
    db = sqlite3.connect(path, isolation_level=None)
    print(db.execute("select count(*), sum(square), max(n) from t").fetchone())
    db.create_function("cube", 1, lambda n: n**3)
    print(db.execute("with recursive c(n) as (select 1 union all select n + 1 from c where n < 5) select group_concat(cube(n)) from c").fetchone()[0])
    print(db.execute("select n, sum(n) over (order by n) from t limit 3").fetchall())
    db.execute("begin")
    db.execute("delete from t")
    db.execute("rollback")
    print(db.execute("select count(*) from t").fetchone()[0])
    db.close()

# expect:
# (1000, 332833500, 999)
# 1,8,27,64,125
# [(0, 0), (1, 1), (2, 3)]
# 1000
