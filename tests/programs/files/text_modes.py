import io
import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    path = f"{folder}/t"
    with open(path, "w", newline="\r\n") as file:
        file.writelines(["a\n", "b\n"])
    print(open(path, "rb").read(), open(path).read(), repr(open(path, newline="").read()))
    with open(path, "a+") as file:
        file.write("c")
        file.seek(0)
        print(file.readlines())
    try:
        open(path, "x")
    except FileExistsError as error:
        print(error.errno, os.path.basename(error.filename))
    print(io.TextIOWrapper(io.BytesIO("ü".encode("latin-1")), "latin-1").read())

# expect:
# b'a\r\nb\r\n' a
# b
#  'a\r\nb\r\n'
# ['a\n', 'b\n', 'c']
# 17 t
# ü
