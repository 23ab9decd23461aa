import getpass
import os
import platform
import pwd
import sys

print(platform.system(), sys.platform, os.name, os.sep, sys.version_info >= (3, 11))
print(os.getuid() > 0, os.getgid() >= 0, os.environ["HOME"] == os.getcwd(), os.path.isdir(os.environ["TMPDIR"]))
print(os.uname().sysname, len(os.urandom(16)), os.get_terminal_size is not None, callable(pwd.getpwuid), bool(getpass.getuser()))

# expect:
# Linux linux posix / True
# True True True True
# Linux 16 True True True
