import subprocess
import sys

code = """
import subprocess, sys
depth = int(sys.argv[1])
if depth:
    out = subprocess.check_output([sys.executable, "-c", sys.stdin.read() if False else open(sys.argv[2]).read(), str(depth - 1), sys.argv[2]], text=True)
    print(depth, out.strip())
else:
    print("leaf")
"""
import tempfile
with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
    file.write(code)
    file.flush()
    print(subprocess.check_output([sys.executable, file.name, "3", file.name], text=True).strip())

# expect:
# 3 2 1 leaf
