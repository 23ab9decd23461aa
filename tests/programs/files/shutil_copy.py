import os
import shutil
import tempfile

with tempfile.TemporaryDirectory() as folder:
    os.makedirs(f"{folder}/a/b")
    open(f"{folder}/a/x.txt", "w").write("x" * 100)
    open(f"{folder}/a/b/y.tmp", "w").write("y")
    shutil.copytree(f"{folder}/a", f"{folder}/c", ignore=shutil.ignore_patterns("*.tmp"))
    print(sorted(os.listdir(f"{folder}/c")), os.listdir(f"{folder}/c/b"))
    shutil.move(f"{folder}/c/x.txt", f"{folder}/c/b/z.txt")
    archive = shutil.make_archive(f"{folder}/out", "zip", f"{folder}/a")
    shutil.unpack_archive(archive, f"{folder}/d")
    print(sorted(os.listdir(f"{folder}/d")), os.path.getsize(f"{folder}/d/x.txt"))
    shutil.rmtree(f"{folder}/a")
    print(os.path.exists(f"{folder}/a"), shutil.which("sh") is not None, shutil.disk_usage(folder).total > 0)

# expect:
# ['b', 'x.txt'] []
# ['b', 'x.txt'] 100
# False True True
