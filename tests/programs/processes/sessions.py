import os

pid = os.fork()
if pid == 0:
    os.setsid()
    os._exit(0 if os.getsid(0) == os.getpid() == os.getpgrp() else 1)
print(os.waitpid(pid, 0)[1], os.getpgid(0) == os.getpgrp(), os.getuid() == os.geteuid() > 0)
print(len(os.sched_getaffinity(0)) > 0, os.nice(0) >= 0, os.cpu_count() > 0, len(os.getloadavg()))

# expect:
# 0 True True
# True True True 3
