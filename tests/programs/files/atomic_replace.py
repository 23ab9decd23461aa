import os
import tempfile
import threading

with tempfile.TemporaryDirectory() as folder:
    path = f"{folder}/config"
    def put(text):
        handle, name = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    put("x" * 1000)
    seen = set()
    def read():
        for _ in range(200):
            seen.add(len(set(open(path).read())))
    reader = threading.Thread(target=read)
    reader.start()
    for letter in "abcdefgh" * 5:
        put(letter * 1000)
    reader.join()
    print(seen, os.listdir(folder))

# expect:
# {1} ['config']
