import resource

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
print(soft > 0, soft <= hard)
resource.setrlimit(resource.RLIMIT_NOFILE, (50, hard))
opened = []
try:
    while True:
        opened.append(open("/dev/null"))
except OSError as error:
    print(error.strerror, len(opened) < 50)
for each in opened:
    each.close()
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_maxrss > 1000, usage.ru_utime >= 0, resource.getpagesize())
print(resource.getrlimit(resource.RLIMIT_CORE)[0])

# expect:
# True True
# Too many open files True
# True True 4096
# 0
