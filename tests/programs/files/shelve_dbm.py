import dbm.dumb
import shelve
import tempfile

with tempfile.TemporaryDirectory() as folder:
    with dbm.dumb.open(f"{folder}/d", "c") as db:
        db["k"] = b"v"
        print(db["k"], b"x" in db)
    with shelve.Shelf(dbm.dumb.open(f"{folder}/s", "c"), writeback=True) as shelf:
        shelf["list"] = [1]
        shelf["list"].append({"a": 2})
    with shelve.Shelf(dbm.dumb.open(f"{folder}/s", "r")) as shelf:
        print(shelf["list"], list(shelf))

# expect:
# b'v' False
# [1, {'a': 2}] ['list']
