import hashlib
import os
import tempfile

with tempfile.TemporaryFile() as file:
    block = bytes(range(256)) * 256
    for _ in range(64):
        file.write(block)
    print(file.tell() // 2**20, "MiB")
    file.seek(0)
    print(hashlib.file_digest(file, "sha256").hexdigest()[:16])
    file.truncate(2**29)
    print(os.fstat(file.fileno()).st_size, os.fstat(file.fileno()).st_blocks * 512 < 2**25)
    file.truncate(0)

# expect:
# 4 MiB
# 2b07811057df8870
# 536870912 True
