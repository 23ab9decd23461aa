import os
import tempfile

RECORD = 16
with tempfile.TemporaryFile() as file:
    for n in range(10):
        file.write(f"record {n}".encode().ljust(RECORD, b"."))
    file.seek(7 * RECORD)
    print(file.read(RECORD), file.tell())
    file.seek(-RECORD, os.SEEK_END)
    file.write(b"changed".ljust(RECORD))
    file.truncate(9 * RECORD + 8)
    print(file.seek(0, os.SEEK_END), os.pread(file.fileno(), 8, 0))
    file.flush()
    os.pwrite(file.fileno(), b"RECORD", 0)
    file.seek(0)
    print(file.readline(8))

# expect:
# b'record 7........' 128
# 152 b'record 0'
# b'RECORD 0'
