import importlib
import os
import sys
import tempfile
import types

with tempfile.TemporaryDirectory() as folder:
    os.makedirs(f"{folder}/pack/sub")
    for path, text in (("pack/__init__.py", "NAME = __name__"), ("pack/sub/__init__.py", ""),
                       ("pack/sub/leaf.py", "from ... import pack\nfrom .. import NAME\nVALUE = NAME + '!'") ):
        with open(f"{folder}/{path}", "w") as file:
            file.write(text.replace("from ... import pack\n", ""))
    sys.path.insert(0, folder)
    leaf = importlib.import_module("pack.sub.leaf")
    print(leaf.VALUE, leaf.__package__, "pack.sub" in sys.modules)
    made = types.ModuleType("made")
    exec("y = 3", made.__dict__)
    sys.modules["made"] = made
    import made as again
    print(again.y)
    try:
        importlib.import_module("no_such_module")
    except ModuleNotFoundError as error:
        print(error)

# expect:
# pack! pack.sub True
# 3
# No module named 'no_such_module'
