import filecmp
import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    for name, text in (("a/same", "1"), ("b/same", "1"), ("a/differs", "1"), ("b/differs", "22"), ("a/left", ""), ("b/right", "")):
        os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
        open(f"{folder}/{name}", "w").write(text)
    both = filecmp.dircmp(f"{folder}/a", f"{folder}/b")
    print(both.same_files, both.diff_files, both.left_only, both.right_only)

# expect:
# ['same'] ['differs'] ['left'] ['right']
