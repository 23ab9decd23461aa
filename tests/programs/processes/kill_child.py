import os
import signal
import subprocess
import sys

for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
    child = subprocess.Popen(["sleep", "600"])
    child.send_signal(number)
    print(number.name, child.wait())
code = "import signal, sys; signal.signal(15, lambda *a: sys.exit(9)); print('up', flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
child.stdout.readline()
child.terminate()
print(child.wait())
child.stdout.close()
group = subprocess.Popen(["sh", "-c", "sleep 600 & wait"], start_new_session=True)
os.killpg(group.pid, signal.SIGKILL)
print(group.wait())

# expect:
# SIGTERM -15
# SIGKILL -9
# SIGINT -2
# 9
# -9
