"""Files given to a run and files captured from it."""

from __future__ import annotations

import ast
import base64
import hashlib
import shutil
from pathlib import Path

from tests.support.runner_client import HIGH_UID, Runner, start_runner, text, wait_until

SETPRIV = ("setpriv", f"--reuid={HIGH_UID}", f"--regid={HIGH_UID}", "--clear-groups")


def get_file(runner: Runner, uid: str, path: str, offset: int = 0) -> bytes:
    reply = runner.call("GET", f"/v1/executions/{uid}/1/files/{path}?offset={offset}")
    assert reply.status == 200, reply
    return reply.body


def test_given_files_are_beside_the_code(runner: Runner) -> None:
    files = [
        {"path": "pkg/__init__.py", "content": "answer = 42\n"},
        {"path": "raw.bin", "content": base64.b64encode(b"\0\xff").decode(), "encoding": "base64"},
    ]
    code = "import pkg; print(pkg.answer, open('raw.bin', 'rb').read())"
    doc = runner.run("a", code, command=["python3"], files=files)
    assert text(doc["output"]["stdout"]) == "42 b'\\x00\\xff'\n", text(doc["output"]["stderr"])


def test_arguments_and_environment_are_the_requests(runner: Runner) -> None:
    code = "import os, sys; print(sys.argv[1:], dict(os.environ) == {}, sorted(os.environ.items()))"
    env = [{"name": "A", "value": "b c"}, {"name": "LANG", "value": "C"}]
    doc = runner.run("a", code, args=["x y", "", "Zoë"], env=env)
    out = text(doc["output"]["stdout"])
    assert out.startswith("['x y', '', 'Zoë'] False ")
    names = {name for name, _ in ast.literal_eval(out.split("False ")[1])}
    threads = {"OMP_NUM_THREADS", "GOMAXPROCS", "PYTHON_CPU_COUNT"}
    threads |= {"NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"}
    assert names - {"LC_CTYPE"} - threads == {
        "A", "HOME", "LANG", "LOGNAME", "PATH", "PYTHONDONTWRITEBYTECODE", "SOULBOX_RESULT", "TERM",
        "TMPDIR", "USER",
    }  # fmt: skip
    assert "('LANG', 'C')" in out
    assert "('A', 'b c')" in out


def test_code_is_hidden_and_goes_with_the_run(runner: Runner) -> None:
    doc = runner.run("a", "import os; print(os.listdir('.'), __file__)", command=["python3"])
    workspace = str(runner.workspace)
    assert text(doc["output"]["stdout"]) == f"['.soulbox-main.py'] {workspace}/.soulbox-main.py\n"
    assert list(runner.workspace.iterdir()) == []


def test_links_in_the_workspace_lead_nowhere_else(runner: Runner) -> None:
    outside = runner.base / "outside"
    outside.mkdir()
    (outside / "target").write_text("untouched")
    plant = (
        f"import os; os.symlink({str(outside)!r}, 'dir');"
        f"os.symlink({str(outside / 'target')!r}, 'file'); os.symlink('inside', 'link');"
        "open('inside', 'w').write('mine'); os.mkfifo('fifo')"
    )
    runner.run("a", plant)
    doc = runner.run("b", "1", files=[{"path": "dir/x", "content": "bad"}])
    assert doc["result"]["outcome"] == "StartFailed"
    assert "dir/x" in doc["result"]["message"]
    files = [{"path": name, "content": "new"} for name in ("file", "link", "fifo")]
    code = "print(*[open(n).read() for n in ('file', 'link', 'fifo', 'inside')])"
    doc = runner.run("c", code, files=files)
    assert text(doc["output"]["stdout"]) == "new new new mine\n"
    assert sorted(p.name for p in outside.iterdir()) == ["target"]
    assert (outside / "target").read_text() == "untouched"


def test_code_file_planted_as_a_link_is_replaced(runner: Runner) -> None:
    victim = runner.base / "victim"
    victim.write_text("untouched")
    runner.run("a", f"import os; os.symlink({str(victim)!r}, '.soulbox-main.sh')")
    doc = runner.run("b", "echo 1", command=["bash"], extension=".sh")
    assert text(doc["output"]["stdout"]) == "1\n"
    assert victim.read_text() == "untouched"


def test_code_file_planted_as_a_directory_is_replaced(runner: Runner) -> None:
    runner.run("a", "import os; os.makedirs('.soulbox-main.sh/x/y')")
    doc = runner.run("b", "echo 1", command=["bash"], extension=".sh")
    assert text(doc["output"]["stdout"]) == "1\n"


def test_captured_files_are_named_hashed_and_kept(runner: Runner) -> None:
    code = """
import os
os.makedirs('out/deep')
open('plot.png', 'wb').write(bytes(range(256)))
open('out/a.csv', 'w').write('a')
open('out/deep/b.csv', 'w').write('b')
open('other.txt', 'w').write('not asked for')
"""
    doc = runner.run("a", code, captureFiles=["*.png", "out/**/*.csv"])
    want = {"plot.png": bytes(range(256)), "out/a.csv": b"a", "out/deep/b.csv": b"b"}
    assert {f["path"]: (f["size"], f["sha256"]) for f in doc["files"]} == {
        path: (len(content), hashlib.sha256(content).hexdigest()) for path, content in want.items()
    }
    assert "filesOmitted" not in doc
    # A later run changes them; what was captured stays.
    runner.run("b", "open('plot.png', 'w').write('changed'); import os; os.remove('out/a.csv')")
    for path, content in want.items():
        assert get_file(runner, "a", path) == content
    assert get_file(runner, "a", "plot.png", offset=250) == bytes(range(250, 256))
    assert runner.call("GET", "/v1/executions/a/1/files/other.txt").status == 404
    assert runner.call("GET", "/v1/executions/b/1/files/plot.png").status == 404


def test_no_captured_file_is_no_field(runner: Runner) -> None:
    assert "files" not in runner.run("a", "1", captureFiles=["*.png"])


def test_links_devices_fifos_and_sockets_are_not_captured(runner: Runner) -> None:
    secret = runner.base / "secret"
    secret.write_text("secret")
    code = f"""
import os, socket
os.symlink({str(secret)!r}, 'link.x')
os.symlink({str(runner.base)!r}, 'dir')
os.mkfifo('fifo.x')
socket.socket(socket.AF_UNIX).bind('socket.x')
try:
    os.mknod('device.x', 0o20666, os.makedev(1, 5))
except PermissionError:
    pass
open('file.x', 'w').write('fine')
"""
    doc = runner.run("a", code, captureFiles=["*.x", "dir/secret", "**/*"])
    assert [f["path"] for f in doc["files"]] == ["file.x"]


SWAP = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
os.mkdir('dir'); open('dir/x', 'w').write('inside'); open('file', 'w').write('inside')
os.symlink(OUTSIDE, 'link-dir'); os.symlink(OUTSIDE + '/x', 'link-file')
print('swapping', flush=True)
count = 0
while not os.path.exists('enough'):
    for one, other in ((b'dir', b'link-dir'), (b'file', b'link-file')):
        assert libc.renameat2(-100, one, -100, other, 2) == 0  # RENAME_EXCHANGE
    count += 1
print(count > 100)
"""


def test_a36_files_swapped_for_links_while_they_are_captured(binary: Path, base: Path) -> None:
    outside = base / "outside"
    outside.mkdir()
    (outside / "x").write_text("outside")
    inside = hashlib.sha256(b"inside").hexdigest()
    with start_runner(binary, base, "--max-concurrent", "2", "--max-unreleased", "64") as runner:
        runner.put("swap", code=f"OUTSIDE = {str(outside)!r}\n{SWAP}")
        target = "/v1/executions/swap/1/output/stdout?offset=0"
        wait_until(lambda: runner.call("GET", target).body != b"", "the swaps to begin")
        found = []
        for i in range(30):
            globs = ["**/x", "dir/x", "link-dir/x", "file", "link-file"]
            doc = runner.run(f"capture{i}", "", command=["true"], captureFiles=globs)
            found += [file["sha256"] for file in doc.get("files", [])]
        (runner.workspace / "enough").touch()
        assert text(runner.finish("swap")["output"]["stdout"]) == "swapping\nTrue\n"
    assert set(found) == {inside}, "nothing from outside, and some of what is inside"


LEASED = """
import fcntl, os, signal, time
signal.signal(signal.SIGIO, signal.SIG_IGN)  # asked to give it up, it does not
f = os.open('leased', os.O_CREAT | os.O_RDWR)
os.write(f, b'mine')
fcntl.fcntl(f, 1024, fcntl.F_WRLCK)
print('leased', flush=True)
time.sleep(600)
"""


def test_a34_file_that_another_run_has_a_lease_on_holds_up_nothing(
    binary: Path, base: Path
) -> None:
    """Whoever opens it waits for the lease to be given up: 45 s, as the kernel has it."""
    with start_runner(binary, base, "--max-concurrent", "2", prefix=SETPRIV) as runner:
        runner.put("holder", code=LEASED)
        target = "/v1/executions/holder/1/output/stdout?offset=0"
        wait_until(lambda: runner.call("GET", target).body != b"", "the lease")
        doc = runner.run("a", "", command=["true"], captureFiles=["leased"])
        assert (doc["result"]["outcome"], doc.get("files", [])) == ("Exited", [])
        assert '"leased" could not be copied' in doc["filesOmittedReason"]
        files = [{"path": "leased", "content": "new"}]
        doc = runner.run("b", "print(open('leased').read())", files=files, within=40)
        assert text(doc["output"]["stdout"]) == "new\n", doc["result"]
        runner.cancel("holder")
        runner.finish("holder")


def test_ten_thousand_captured_files_name_sixty_four(runner: Runner) -> None:
    code = "for i in range(10_000): open(f'{i:05}.txt', 'w').write(str(i))"
    doc = runner.run("a", code, captureFiles=["*.txt"])
    assert [f["path"] for f in doc["files"]] == [f"{i:05}.txt" for i in range(64)]
    assert doc["filesOmitted"] == 10_000 - 64
    assert doc["filesOmittedReason"] == "10000 files matched, 64 are kept"
    assert get_file(runner, "a", "00063.txt") == b"63"


def test_file_that_the_program_made_unreadable_is_captured(binary: Path, base: Path) -> None:
    with start_runner(binary, base, prefix=SETPRIV) as runner:
        code = "import os\nopen('a.txt', 'w').write('kept')\nos.chmod('a.txt', 0)"
        doc = runner.run("a", code, captureFiles=["*.txt"])
        assert get_file(runner, "a", "a.txt") == b"kept"
        assert "filesOmittedReason" not in doc
        assert (runner.workspace / "a.txt").stat().st_mode & 0o777 == 0


def test_file_asked_for_by_name_that_is_none_is_told(runner: Runner) -> None:
    code = "import os\nos.symlink('x', 'link')\nos.mkdir('dir')\nopen('x', 'w')"
    globs = ["resluts.csv", "link", "dir", "no/such", "*.png", "report [1].csv", "x"]
    doc = runner.run("a", code, captureFiles=globs)
    assert [file["path"] for file in doc["files"]] == ["x"]
    assert doc["filesOmittedReason"] == (
        '"resluts.csv" does not exist; "link" is not a regular file; "dir" is not a regular file;'
        ' "no/such" does not exist'
    )
    assert "filesOmitted" not in doc


def test_capture_that_cannot_be_whole_says_why(runner: Runner) -> None:
    code = "import os\nfor i in range(300):\n os.mkdir('d'); os.chdir('d')\nopen('deep.txt', 'w')"
    doc = runner.run("a", code, captureFiles=["**/*.txt"])
    assert doc["filesOmittedReason"].startswith("not all of the workspace was searched: ")
    # Where the copy would go is gone.
    code = "open('one.txt', 'w'); open('two.txt', 'w'); import time; time.sleep(600)"
    assert runner.put("b", code=code, captureFiles=["*.txt"]).status == 201
    wait_until((runner.workspace / "two.txt").exists, "the files")
    (runs,) = [path for path in (runner.base / "output").iterdir() if "b" in path.name]
    shutil.rmtree(runs)
    runner.cancel("b")
    doc = runner.finish("b")
    assert doc["filesOmitted"] == 2
    assert (
        '"one.txt" could not be copied: no such file or directory; nor could 1 more'
        in doc["filesOmittedReason"]
    )


def test_captured_file_beyond_the_limit_is_cut(runner: Runner) -> None:
    code = "open('a.bin', 'wb').write(b'a' * 600)\nopen('b.bin', 'wb').truncate(1 << 40)"
    limits = {"fileSizeBytes": 1 << 42}
    doc = runner.run("a", code, captureFiles=["*.bin"], outputLimitBytes=1000, limits=limits)
    first, second = doc["files"]
    assert (first["size"], "truncated" in first) == (600, False)
    assert (second["size"], second["truncated"]) == (1 << 40, True)
    assert second["sha256"] == hashlib.sha256(b"\0" * 400).hexdigest()
    assert get_file(runner, "a", "b.bin") == b"\0" * 400


def test_files_whose_names_are_no_text_do_not_break_the_document(runner: Runner) -> None:
    code = "open(b'bad-\\xff.txt', 'w').write('x'); open('new\\nline.txt', 'w').write('y')"
    doc = runner.run("a", code, captureFiles=["*.txt"])
    assert [f["path"] for f in doc["files"]] == ["bad-\ufffd.txt", "new\nline.txt"]


def test_workspace_stays_between_runs(runner: Runner) -> None:
    runner.run("a", "open('kept', 'w').write('x')")
    assert text(runner.run("b", "print(open('kept').read())")["output"]["stdout"]) == "x\n"


def test_socket_in_the_workspace_does_not_stop_a_file_of_its_name(runner: Runner) -> None:
    runner.run("a", "import socket; socket.socket(socket.AF_UNIX).bind('name')")
    doc = runner.run("b", "print(open('name').read())", files=[{"path": "name", "content": "x"}])
    assert text(doc["output"]["stdout"]) == "x\n"
    assert Path(runner.workspace / "name").is_file()
