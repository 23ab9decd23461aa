import subprocess

first = subprocess.Popen(["printf", "b\\na\\nc\\na\\n"], stdout=subprocess.PIPE)
second = subprocess.Popen(["sort", "-u"], stdin=first.stdout, stdout=subprocess.PIPE, text=True)
first.stdout.close()
print(second.communicate()[0].split(), first.wait(), second.returncode)
talk = subprocess.Popen(["sh", "-c", "while read x; do echo $((x * 2)); done"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
for n in (1, 21):
    talk.stdin.write(f"{n}\n")
    print(talk.stdout.readline().strip())
talk.stdin.close()
print(talk.wait())
talk.stdout.close()

# expect:
# ['a', 'b', 'c'] 0 0
# 2
# 42
# 0
