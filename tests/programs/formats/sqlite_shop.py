import sqlite3

db = sqlite3.connect(":memory:")
db.row_factory = sqlite3.Row
db.executescript("""
    create table customer (id integer primary key, name text unique not null);
    create table purchase (customer integer references customer, item text, price real check (price >= 0));
""")
db.executemany("insert into customer (name) values (?)", [("ann",), ("bob",), ("eve",)])
db.executemany("insert into purchase values (?, ?, ?)", [(1, "pen", 1.5), (1, "ink", 7), (2, "pad", 3.25)])
for row in db.execute("""select name, count(item) as items, coalesce(sum(price), 0) as total
                         from customer left join purchase on customer.id = purchase.customer
                         group by name order by total desc"""):
    print(dict(row))
try:
    db.execute("insert into purchase values (1, 'x', -1)")
except sqlite3.IntegrityError as error:
    print(error)

# expect:
# {'name': 'ann', 'items': 2, 'total': 8.5}
# {'name': 'bob', 'items': 1, 'total': 3.25}
# {'name': 'eve', 'items': 0, 'total': 0}
# CHECK constraint failed: price >= 0
