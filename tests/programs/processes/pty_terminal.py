import os
import pty
import subprocess

ours, theirs = pty.openpty()
child = subprocess.Popen(["sh", "-c", "test -t 0 && echo terminal; read x; echo got $x"], stdin=theirs, stdout=theirs)
os.close(theirs)
os.write(ours, b"hello\n")
out = b""
while True:
    try:
        piece = os.read(ours, 1000)
    except OSError:
        break
    if not piece:
        break
    out += piece
print(child.wait(), b"terminal" in out, b"got hello" in out)

# expect:
# 0 True True
