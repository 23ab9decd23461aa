import mmap
import tempfile

with tempfile.TemporaryFile() as file:
    file.write(b"hello world" + bytes(mmap.PAGESIZE))
    file.flush()
    with mmap.mmap(file.fileno(), 0) as view:
        print(view[:5], view.find(b"world"), len(view) > mmap.PAGESIZE)
        view[0:5] = b"HELLO"
        view.flush()
    file.seek(0)
    print(file.read(11))
with mmap.mmap(-1, 8192) as shared:
    shared.write(b"anonymous")
    shared.seek(0)
    print(shared.read(9), len(shared))

# expect:
# b'hello' 6 True
# b'HELLO world'
# b'anonymous' 8192
