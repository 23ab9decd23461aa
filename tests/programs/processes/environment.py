import os
import subprocess

os.environ["FROM_PARENT"] = "yes"
print(subprocess.check_output(["sh", "-c", "echo $FROM_PARENT $ONLY_CHILD"], text=True, env={**os.environ, "ONLY_CHILD": "1"}).strip())
print(subprocess.check_output(["sh", "-c", "pwd"], cwd="/usr", text=True).strip())
print(os.environ.get("NOT_SET", "default"), "ONLY_CHILD" in os.environ, os.path.expandvars("$FROM_PARENT/x"))
del os.environ["FROM_PARENT"]
print(subprocess.call('test -z "$FROM_PARENT"', shell=True))

# expect:
# yes 1
# /usr
# default False yes/x
# 0
