"""What programs expect of a machine, found on a real kubelet, one Execution each."""

from __future__ import annotations

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

GROUP = """
import asyncio, sys
async def fail():
    raise ValueError("boom")
async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
class Late:
    def __del__(self):
        self.gone.close()
late = Late()
asyncio.run(main())
"""
WHO = """
import getpass, grp, os, pwd
own = pwd.getpwuid(os.getuid())
print(getpass.getuser(), own.pw_name, own.pw_dir, grp.getgrgid(os.getgid()).gr_name)
print(pwd.getpwnam("root").pw_uid, os.path.expanduser("~"), os.environ["USER"])
print([n for n in os.environ if n.startswith(("KUBERNETES", "SOULBOX")) or n == "HOSTNAME"])
print(os.path.basename(__file__))
"""


def test_programs_in_python(world: World) -> None:
    world.create(make_sandbox("box"))
    world.create(make_execution("who", code=WHO))
    for number in (1, 2):
        files = [{"path": "m.py", "content": f"V = {number}\n"}]
        world.create(make_execution(f"fresh-{number}", code="import m; print(m.V)", files=files))
    code = "for n in ('report [1].csv', 'report 1.csv'): open(n, 'w').write(n)"
    world.create(make_execution("capture", code=code, captureFiles=["report [1].csv"]))
    world.create(make_execution("group", code=GROUP))
    code = "import logging, sys\ntry: 1/0\nexcept Exception: logging.exception('x')\nsys.exit(3)"
    world.create(make_execution("logged", code=code))

    who = world.execution("who")["status"]
    assert who["state"] == "Completed", who
    assert who["output"]["stdout"].splitlines() == [
        "sandbox sandbox /workspace sandbox",
        "0 /workspace sandbox",
        "['SOULBOX_RESULT']",
        ".soulbox-main.py",
    ]
    for number in (1, 2):
        fresh = world.execution(f"fresh-{number}")["status"]
        assert fresh["output"]["stdout"] == f"{number}\n"
    (file,) = world.execution("capture")["status"]["output"]["files"]
    assert (file["path"], file["content"]) == ("report [1].csv", "report [1].csv")

    group = world.execution("group")["status"]
    assert group["error"]["type"] == "ExceptionGroup"
    assert group["error"]["message"] == "unhandled errors in a TaskGroup (1 sub-exception)"
    assert group["message"] == (
        "The program ended with exit code 1: "
        "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)"
    )
    assert "boom" in group["error"]["stackTrace"]
    logged = world.execution("logged")["status"]
    assert (logged["exitCode"], logged["error"]["type"]) == (3, "NonZeroExit")


def test_programs_in_bash(world: World) -> None:
    world.create(make_sandbox("box", className="bash"))
    pipes = "exec > >(sed 's/^/> /'); echo one; echo two"
    for number in range(5):
        world.create(make_execution(f"pipes-{number}", code=pipes))
    files = [
        {"path": "run.sh", "content": "#!/bin/bash\necho hi\n"},
        {"path": "tool", "content": "echo tool", "mode": 0o700},
    ]
    world.create(make_execution("execute", code="./run.sh; ./tool", files=files))
    world.create(make_execution("crlf", code="if true; then\r\n  echo 1\r\nfi\r\n"))
    code = 'ulimit -Sn; ulimit -Sn 4000 && ulimit -Sn; [ "$(ulimit -Hn)" -le 65536 ] && echo ok'
    world.create(make_execution("open-files", code=code))

    world.create(make_sandbox("small", className="bash", resources={"memory": "64Mi"}))
    hog = make_execution("hog", sandboxRef={"name": "small"}, code="(tail /dev/zero); exit 5")
    world.create(hog)

    for number in range(5):
        status = world.execution(f"pipes-{number}")["status"]
        assert status["output"]["stdout"] == "> one\n> two\n"
    execute = world.execution("execute")["status"]
    assert execute["output"]["stdout"] == "hi\ntool\n", execute
    crlf = world.execution("crlf")["status"]
    assert crlf["message"].endswith("Save it with LF line endings.")
    assert world.execution("open-files")["status"]["output"]["stdout"] == "1024\n4000\nok\n"
    # On cgroup v2 the kernel takes all of the pod, which is told as well.
    killed = world.execution("hog")["status"]
    assert "memory" in killed["message"], killed
    assert killed.get("exitCode", 5) == 5
