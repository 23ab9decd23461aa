import os
import tempfile

with tempfile.TemporaryDirectory() as root:
    for folder, names in (("", ["a"]), ("x", ["b", "c"]), ("x/y", []), ("z", ["d"])):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
        for name in names:
            open(os.path.join(root, folder, name), "w").close()
    for where, folders, names in os.walk(root):
        folders.sort()
        print(os.path.relpath(where, root), folders, sorted(names))
    with os.scandir(root) as entries:
        print(sorted((entry.name, entry.is_dir()) for entry in entries))

# expect:
# . ['x', 'z'] ['a']
# x ['y'] ['b', 'c']
# x/y [] []
# z [] ['d']
# [('a', False), ('x', True), ('z', True)]
