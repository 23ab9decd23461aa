import os
from pathlib import Path

print(Path.cwd() == Path(os.environ["HOME"]), os.environ["TMPDIR"] != os.environ["HOME"])
folder = Path.home() / "made-by-workspace-is-home"
folder.mkdir(exist_ok=True)
(folder / "a").write_text("kept")
print((folder / "a").read_text(), os.access("/", os.W_OK), os.access(os.environ["TMPDIR"], os.W_OK))
(folder / "a").unlink()
folder.rmdir()

# expect:
# True True
# kept False True
