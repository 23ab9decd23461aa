import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "a.txt")
    with open(path, "w", encoding="utf-8") as file:
        print(file.write("line one\nline two ü\n"))
    print(os.path.getsize(path), open(path, encoding="utf-8").read().splitlines())
print(os.path.exists(folder))
with tempfile.NamedTemporaryFile("w+", suffix=".log") as file:
    file.write("x")
    file.flush()
    print(os.path.exists(file.name), file.name.endswith(".log"))
print(os.path.exists(file.name))
with tempfile.SpooledTemporaryFile(max_size=10) as spool:
    spool.write(b"0123456789abc")
    spool.seek(5)
    print(spool.read(), tempfile.gettempdir() == os.environ.get("TMPDIR", "/tmp"))

# expect:
# 20
# 21 ['line one', 'line two ü']
# False
# True True
# False
# b'56789abc' True
