"""Ordinary programs run behind all walls as they do without them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner_client import Runner, text

PYTHON = {
    "threads": """
import threading
done = []
threads = [threading.Thread(target=done.append, args=(i,)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(done))
""",
    "subprocess": """
import subprocess
print(subprocess.run(['sh', '-c', 'echo hi | cat; exit 3'], capture_output=True).returncode)
""",
    "multiprocessing": """
import multiprocessing as m
def square(x): return x * x
if __name__ == '__main__':
    for how in ('fork', 'spawn', 'forkserver'):
        with m.get_context(how).Pool(2) as pool:
            print(sum(pool.map(square, range(5))))
    from multiprocessing.shared_memory import SharedMemory
    s = SharedMemory(create=True, size=1 << 20); s.buf[0] = 7; print(s.buf[0])
    s.close(); s.unlink()
    q = m.Queue(); q.put(1); print(q.get()); print(m.Semaphore(1).acquire())
""",
    "asyncio": """
import asyncio
async def main():
    async def serve(r, w): w.write(await r.read(2)); await w.drain(); w.close()
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
    w.write(b'ok'); print(await r.read())
    p = await asyncio.create_subprocess_exec('true'); print(await p.wait())
asyncio.run(main())
""",
    "sqlite3": """
import sqlite3
db = sqlite3.connect('x.db'); db.execute('pragma journal_mode=wal'); db.execute('create table t(a)')
db.execute('insert into t values (1)'); db.commit(); print(db.execute('select * from t').fetchall())
""",
    "sockets": """
import socket, os
for family in (socket.AF_INET, socket.AF_INET6):
    s = socket.create_server(('', 0), family=family); s.close()
a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))
socket.send_fds(a, [b'f'], [1]); print(len(socket.recv_fds(b, 1, 1)[1]))
print(socket.if_nameindex()[0][1])
""",
    "files": """
import os, tempfile, mmap, fcntl
os.makedirs('a/b', exist_ok=True); os.makedirs('c', exist_ok=True); open('a/b/f', 'w').write('x')
os.rename('a/b/f', 'c/f'); os.link('c/f', 'a/g'); os.symlink('g', 'a/h'); os.truncate('a/g', 0)
os.mkfifo('fifo'); os.remove('fifo')
with tempfile.TemporaryFile() as f:
    f.write(b'x' * 8192); f.flush(); mmap.mmap(f.fileno(), 0).close()
with open('c/f', 'w') as f: fcntl.flock(f, fcntl.LOCK_EX); os.posix_fallocate(f.fileno(), 0, 4096)
open('/dev/null', 'w').write('x'); open('/dev/stdout', 'w').write('out\\n')
open('/proc/self/fd/1', 'w').write('fd\\n'); open('/proc/self/comm').read()
""",
    "signals": """
import signal, os, time, threading
got = []
for s in (signal.SIGUSR1, signal.SIGALRM): signal.signal(s, lambda *a: got.append(a[0]))
os.kill(os.getpid(), signal.SIGUSR1); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()
print(len(got)); signal.pthread_kill(threading.get_ident(), signal.SIGUSR1); print(len(got))
""",
}  # fmt: skip

OTHERS: dict[str, tuple[list[str], str, str]] = {
    "bash": (
        ["bash"], ".sh",
        "set -euo pipefail\ntrap 'echo bye' EXIT\nulimit -n 100\ncoproc cat\necho x >&${COPROC[1]}"
        "\nread -r line <&${COPROC[0]}\necho $line $(seq 3 | sort -r | head -1)\n"
        "diff <(echo a) <(echo a)\nnice true\n(sleep 30 & wait) &\nkill $!\nrenice 19 $$\n",
    ),
    "node": (
        ["node"], ".js",
        "const {execSync} = require('child_process'), {Worker} = require('worker_threads');\n"
        "console.log(execSync('echo hi').toString());\n"
        "require('net').createServer(c => c.end('x')).listen(0, '127.0.0.1', function () {\n"
        "  require('net').connect(this.address().port, '127.0.0.1').on('data', d => {\n"
        "    console.log(d.toString()); this.close(); }); });\n"
        "new Worker('require(\"fs\").writeFileSync(\"w\", \"x\")', {eval: true});\n"
        "require('fs').promises.readFile('/etc/passwd').then(() => console.log('read'));\n"
        "require('os').setPriority(19);\n"
        "console.log(require('os').networkInterfaces().lo.length);\n",
    ),
    "java": (
        ["java", "-XX:+UseSerialGC", "-Xmx64m"], ".java",
        "class Main { public static void main(String[] a) throws Exception {\n"
        "  var t = new Thread(() -> System.out.println(\"thread\"), \"named\");\n"
        "  t.start(); t.join();\n"
        "  System.out.println(new ProcessBuilder(\"true\").start().waitFor());\n"
        "  try (var s = new java.net.ServerSocket(0)) {\n"
        "    new java.net.Socket(\"127.0.0.1\", s.getLocalPort()).close();\n"
        "    s.accept().close(); } } }\n",
    ),
    "gdb": (
        ["gdb", "-nx", "-batch", "-ex", "run", "--args", "/bin/true"],
        ".gdb", "",
    ),
    "strace": (["strace", "-f", "-e", "trace=none", "sh"], ".sh", "echo traced; /bin/true\n"),
}  # fmt: skip


def ended_well(runner: Runner, uid: str, code: str, **request: Any) -> str:
    doc = runner.run(uid, code, **request)
    out = text(doc["output"]["stdout"])
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}, (
        doc["result"], out, text(doc["output"]["stderr"]),
    )  # fmt: skip
    return out


@pytest.mark.parametrize("name", PYTHON)
def test_python_runs_behind_all_walls(pod: Runner, name: str) -> None:
    ended_well(pod, f"python-{name}", PYTHON[name])


@pytest.mark.parametrize("name", OTHERS)
def test_other_languages_run_behind_all_walls(pod: Runner, name: str) -> None:
    command, extension, code = OTHERS[name]
    if shutil.which(command[0], path="/usr/local/bin:/usr/bin:/bin") is None:
        pytest.skip(f"{command[0]} is not on this machine")
    limits = {"processes": 512, "openFiles": 4096}
    ended_well(pod, name, code, command=command, extension=extension, limits=limits)


def test_go_runs_behind_all_walls(pod: Runner, binary: Path) -> None:
    """The runner itself is a Go program: it starts, answers and ends by itself as a program."""
    assert "test" in ended_well(
        pod, "go", f"exec {binary} version", command=["sh"], extension=".sh"
    )


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_thread_with_attributes_runs(pod: Runner) -> None:
    """glibc sets affinity and scheduling of a new thread by its number, before it begins."""
    code = r"""
cat > t.c <<'C'
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
static void *say(void *x) { puts("thread"); return x; }
int main(void) {
  pthread_t t; pthread_attr_t a; cpu_set_t c;
  sched_getaffinity(0, sizeof c, &c);
  pthread_attr_init(&a);
  if (pthread_attr_setaffinity_np(&a, sizeof c, &c)) return 1;
  if (pthread_create(&t, &a, say, 0)) return 2;
  return pthread_join(t, 0);
}
C
gcc -O1 -o t t.c -lpthread && ./t
"""
    assert ended_well(pod, "gcc", code, command=["bash"], extension=".sh") == "thread\n"
