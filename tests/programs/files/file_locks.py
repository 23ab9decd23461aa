import fcntl
import os
import tempfile

with tempfile.NamedTemporaryFile() as one, open(one.name) as two:
    fcntl.flock(one, fcntl.LOCK_EX)
    try:
        fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("held")
    fcntl.flock(one, fcntl.LOCK_UN)
    fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("taken")
    flags = fcntl.fcntl(one, fcntl.F_GETFL)
    print(flags & os.O_ACCMODE == os.O_RDWR, bool(fcntl.fcntl(one, fcntl.F_GETFD) & fcntl.FD_CLOEXEC))

# expect:
# held
# taken
# True True
