import os
import sys

sys.stdout.flush()
if os.fork() == 0:
    os.execvp("echo", ["echo", "from", "exec"])
os.wait()
os.execve("/bin/sh", ["sh", "-c", 'echo "$WORD" $0 $1', "name", "arg"], {"WORD": "replaced"})

# expect:
# from exec
# replaced name arg
