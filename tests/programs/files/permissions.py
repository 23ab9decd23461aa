import os
import stat
import tempfile

with tempfile.TemporaryDirectory() as folder:
    path = f"{folder}/f"
    old = os.umask(0o027)
    open(path, "w").close()
    os.umask(old)
    print(stat.filemode(os.stat(path).st_mode), oct(os.stat(path).st_mode & 0o777))
    os.chmod(path, 0o400)
    print(os.access(path, os.R_OK), stat.S_ISREG(os.stat(path).st_mode), os.stat(path).st_uid == os.getuid())
    os.utime(path, (1_000_000_000, 1_000_000_001))
    print(int(os.stat(path).st_mtime), os.stat(path).st_nlink)

# expect:
# -rw-r----- 0o640
# True True True
# 1000000001 1
