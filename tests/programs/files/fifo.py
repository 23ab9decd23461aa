import os
import tempfile
import threading

with tempfile.TemporaryDirectory() as folder:
    path = f"{folder}/pipe"
    os.mkfifo(path)
    def write():
        with open(path, "w") as pipe:
            for n in range(3):
                print("message", n, file=pipe)
    writer = threading.Thread(target=write)
    writer.start()
    with open(path) as pipe:
        print(pipe.read().splitlines())
    writer.join()

# expect:
# ['message 0', 'message 1', 'message 2']
