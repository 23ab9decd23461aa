import subprocess
import sys

done = subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True, text=True)
print(done.returncode, done.stdout.strip(), done.stderr.strip())
print(subprocess.check_output(["tr", "a-z", "A-Z"], input="hello", text=True))
try:
    subprocess.run([sys.executable, "-c", "raise SystemExit(4)"], check=True)
except subprocess.CalledProcessError as error:
    print(error.returncode)
try:
    subprocess.run(["no-such-command"])
except FileNotFoundError as error:
    print(error.filename)
try:
    subprocess.run(["sleep", "600"], timeout=0.05)
except subprocess.TimeoutExpired as error:
    print("timed out:", error.cmd)

# expect:
# 3 out err
# HELLO
# 4
# no-such-command
# timed out: ['sleep', '600']
