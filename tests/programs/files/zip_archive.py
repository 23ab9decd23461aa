import io
import zipfile

buffer = io.BytesIO()
with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("readme.txt", "hello " * 100)
    archive.writestr("data/x.bin", bytes(1000))
with zipfile.ZipFile(buffer) as archive:
    for info in archive.infolist():
        print(info.filename, info.file_size, info.compress_size < info.file_size)
    print(archive.testzip(), archive.read("readme.txt")[:5], zipfile.is_zipfile(buffer))
    with archive.open("data/x.bin") as member:
        print(len(member.read(10)), [p.name for p in zipfile.Path(archive).iterdir()])

# expect:
# readme.txt 600 True
# data/x.bin 1000 True
# None b'hello' True
# 10 ['readme.txt', 'data']
