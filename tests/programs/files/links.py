import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    with open("real", "w") as file:
        file.write("data")
    os.link("real", "hard")
    os.symlink("real", "soft")
    os.symlink("nowhere", "broken")
    print(os.stat("real").st_nlink, os.path.samefile("real", "hard"), os.readlink("soft"))
    print(os.path.exists("broken"), os.path.lexists("broken"), os.path.islink("soft"))
    os.unlink("real")
    print(open("hard").read(), os.path.exists("soft"))
    os.chdir("/")

# expect:
# 2 True real
# False True True
# data False
