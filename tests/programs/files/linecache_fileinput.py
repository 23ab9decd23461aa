import fileinput
import linecache
import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    paths = []
    for name in "ab":
        path = f"{folder}/{name}"
        with open(path, "w") as file:
            file.writelines(f"{name}{n}\n" for n in range(3))
        paths.append(path)
    with fileinput.input(paths) as lines:
        print([(os.path.basename(lines.filename()), lines.filelineno(), line.strip()) for line in lines if lines.filelineno() != 2])
    print(repr(linecache.getline(paths[0], 2)))
    with fileinput.input(paths[0], inplace=True) as lines:
        for line in lines:
            print(line.strip().upper())
    print(open(paths[0]).read().split())

# expect:
# [('a', 1, 'a0'), ('a', 3, 'a2'), ('b', 1, 'b0'), ('b', 3, 'b2')]
# 'a1\n'
# ['A0', 'A1', 'A2']
