import fnmatch
import glob
import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    for name in ("a.py", "b.py", "c.txt", "sub/d.py", ".hidden.py"):
        os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
        open(f"{folder}/{name}", "w").close()
    print(sorted(glob.glob("*.py", root_dir=folder)), sorted(glob.glob("**/*.py", root_dir=folder, recursive=True)))
print(fnmatch.filter(["a1", "b2", "a22"], "a?"), fnmatch.translate("*.txt"))

# expect:
# ['a.py', 'b.py'] ['a.py', 'b.py', 'sub/d.py']
# ['a1'] (?s:.*\.txt)\Z
