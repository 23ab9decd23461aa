import io
import os
import tarfile
import tempfile

with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    os.makedirs("src/sub")
    for name in ("src/a", "src/sub/b"):
        with open(name, "w") as file:
            file.write(name)
    os.symlink("a", "src/link")
    os.chmod("src/a", 0o640)
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        with tarfile.open("out.tar", mode) as archive:
            archive.add("src")
        with tarfile.open("out.tar") as archive:
            print(mode, sorted(archive.getnames()))
    with tarfile.open("out.tar") as archive:
        print(oct(archive.getmember("src/a").mode), archive.getmember("src/link").linkname)
        archive.extractall("dst")
    print(open("dst/src/link").read(), os.readlink("dst/src/link"))
    os.chdir("/")
print(tarfile.open(fileobj=io.BytesIO(bytes(1024))).getnames())

# expect:
# w ['src', 'src/a', 'src/link', 'src/sub', 'src/sub/b']
# w:gz ['src', 'src/a', 'src/link', 'src/sub', 'src/sub/b']
# w:bz2 ['src', 'src/a', 'src/link', 'src/sub', 'src/sub/b']
# w:xz ['src', 'src/a', 'src/link', 'src/sub', 'src/sub/b']
# 0o640 a
# src/a a
# []
