import tempfile
from pathlib import Path, PurePosixPath

with tempfile.TemporaryDirectory() as folder:
    root = Path(folder)
    for name in ("a/one.txt", "a/b/two.py", "a/b/three.txt", "c/four.TXT"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name * 2)
    print(sorted(str(p.relative_to(root)) for p in root.rglob("*.txt")))
    print(sum(p.stat().st_size for p in root.rglob("*") if p.is_file()))
    (root / "a/one.txt").rename(root / "moved.md")
    print((root / "moved.md").suffix, (root / "a/b/two.py").with_suffix(".pyc").name, (root / "a/one.txt").exists())
path = PurePosixPath("/usr/lib/python3/x.tar.gz")
print(path.parts, path.stem, path.suffixes, path.parents[1], path.match("*.gz"))

# expect:
# ['a/b/three.txt', 'a/one.txt']
# 84
# .md two.pyc False
# ('/', 'usr', 'lib', 'python3', 'x.tar.gz') x.tar ['.tar', '.gz'] /usr/lib True
