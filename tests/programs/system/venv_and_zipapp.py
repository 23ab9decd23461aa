import subprocess
import sys
import tempfile
import zipapp
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    source = Path(folder, "app")
    source.mkdir()
    (source / "__main__.py").write_text("import sys, helper\nprint('zipapp', helper.double(21), sys.argv[1:])\n")
    (source / "helper.py").write_text("def double(n): return 2 * n\n")
    zipapp.create_archive(source, Path(folder, "app.pyz"))
    print(subprocess.check_output([sys.executable, Path(folder, "app.pyz"), "x"], text=True).strip())
    print(subprocess.check_output([sys.executable, "-m", "compileall", "-q", source], text=True) == "",
          len(list(source.rglob("*.pyc"))))
    print(subprocess.run([sys.executable, "-m", "json.tool", "--compact"], input='{"a": [1, 2]}', capture_output=True, text=True).stdout.strip())

# expect:
# zipapp 42 ['x']
# True 2
# {"a":[1,2]}
