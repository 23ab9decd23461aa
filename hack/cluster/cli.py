"""The commands behind hack/up, hack/down and hack/status."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hack.cluster import build, kind, local, operator, ownership, postgres, processes
from hack.cluster.config import CHECKOUT, DATA_DIR, RUN_DIR, ClusterError, Paths, paths
from hack.cluster.console import step
from hack.cluster.pki import write_private

POSTGRES = DATA_DIR / "postgres"
# What may run unrecorded for a moment: PostgreSQL's first start, imports, a server just begun.
_STRAYS = ("initdb", "postgres", "ctr", "containerd", "etcd", "k8s")


def choose(environment: Mapping[str, str]) -> str:
    """Which cluster to use: `given`, `kind` or `local`.

    Raises:
        ClusterError: what is asked for is unknown or cannot be had.
    """
    if environment.get("SOULBOX_USE_CLUSTER") == "1":
        if not environment.get("KUBECONFIG"):
            raise ClusterError("SOULBOX_USE_CLUSTER=1 needs KUBECONFIG=/path/of/a/kubeconfig")
        return "given"
    asked = environment.get("SOULBOX_CLUSTER", "")
    if asked not in ("", "kind", "local"):
        raise ClusterError(
            f"SOULBOX_CLUSTER={asked} is unknown: take kind or local, or unset it, which is kind "
            "where a Docker engine answers and else local"
        )
    if asked == "local":
        return "local"
    if kind.engine_answers():
        return "kind"
    if asked == "kind":
        raise ClusterError(
            "SOULBOX_CLUSTER=kind needs a Docker engine, and none answers (docker info): start "
            "Docker, or take SOULBOX_CLUSTER=local"
        )
    return "local"


def up(folders: Paths, *, with_operator: bool) -> None:
    """Bring up what is missing and write the env file."""
    owner = ownership.current()
    if owner is not None and ownership.is_abandoned(owner):
        step(f"ending the cluster of {owner.checkout}, which is gone")
        _end(Path(owner.state), owner.kind)
        owner = None
    chosen = choose(os.environ)
    if chosen == "local":
        local.check_machine()  # before anything is claimed or started
    if owner is None:
        _drop_logs(folders)
    ownership.claim(folders, chosen)
    folders.logs.mkdir(parents=True, exist_ok=True)
    given = _given_dsn()
    if chosen == "kind":
        dsn = kind.up(folders, given)
    else:
        with ThreadPoolExecutor(max_workers=1) as pool:
            database = pool.submit(_database, folders, given)
            _cluster(chosen, folders)
            dsn = database.result()
    _write_env(chosen, folders, dsn, own=given is None)
    if with_operator:
        _run_operator(chosen, folders, dsn)
    else:
        operator.install(folders, _kubectl(folders))
    step(f"up. In your shell: . {os.path.relpath(folders.env_file)}")


def _cluster(chosen: str, folders: Paths) -> None:
    if chosen == "local":
        local.up(folders)
        return
    given = Path(os.environ["KUBECONFIG"])
    if not given.exists():
        raise ClusterError(f"KUBECONFIG={given} does not exist")
    write_private(folders.kubeconfig, given.read_text())


def _run_operator(chosen: str, folders: Paths, dsn: str) -> None:
    if chosen == "kind":
        kind.run_operator(folders, dsn)
        return
    kubectl = _kubectl(folders)
    operator.install(folders, kubectl)
    operator.migrate(folders, dsn)
    operator.start(folders, kubectl, dsn)


def _kubectl(folders: Paths) -> Path | str:
    """The kubectl built with the control plane where there is one, else the machine's."""
    own = folders.state / "bin" / "kubectl"
    return own if own.exists() else "kubectl"


def _given_dsn() -> str | None:
    """The DSN that a person set; None if there is none.

    A shell that has sourced the env file has our own DSN, perhaps of an earlier cluster.
    """
    dsn = os.environ.get("SOULBOX_DSN")
    return dsn if dsn and dsn != os.environ.get("SOULBOX_EMBEDDED_DSN") else None


def _database(folders: Paths, given: str | None) -> str:
    """The DSN that a person gave, else that of the embedded server, started now."""
    if given is not None:
        return given
    if not postgres.is_running(POSTGRES):
        step("starting PostgreSQL")
    return postgres.start(POSTGRES, log=folders.logs / "postgres.log")


def _write_env(chosen: str, folders: Paths, dsn: str, *, own: bool) -> None:
    _link_programs(chosen, folders)
    write_private(folders.env_file, environment(chosen, folders, dsn, own=own))


def environment(chosen: str, folders: Paths, dsn: str, *, own: bool) -> str:
    """The env file: what a shell needs to use what is up."""
    lines = [
        f"export KUBECONFIG={shlex.quote(str(folders.kubeconfig))}",
        f"export SOULBOX_DSN={shlex.quote(dsn)}",
    ]
    if own:
        # Lets a later hack/up tell this DSN from one that a person set.
        lines.append(f"export SOULBOX_EMBEDDED_DSN={shlex.quote(dsn)}")
    if chosen == "kind":
        # `soulbox run` finds the operator's Service through the API server.
        lines.append("unset SOULBOX_OPERATOR_URL")
    else:
        listen = os.environ.get("SOULBOX_HTTP_LISTEN", operator.DEFAULT_LISTEN)
        # The operator is a process of this machine, not behind a Service.
        lines.append(f"export SOULBOX_OPERATOR_URL={shlex.quote(f'http://{listen}')}")
    # First: these are of the cluster's and the server's versions. Once, however often it is read.
    ours = shlex.quote(str(folders.state / "bin"))
    lines.append(f'case ":$PATH:" in *:{ours}:*) ;; *) export PATH={ours}:"$PATH" ;; esac')
    return "\n".join(lines) + "\n"


def own_kubectl(chosen: str, folders: Paths) -> Path | None:
    """The kubectl of the cluster's version; None: the machine's has to do."""
    if chosen == "kind":
        return kind.kubectl()
    return build.kubectl(folders) if chosen == "local" else None


def _link_programs(chosen: str, folders: Paths) -> None:
    """Link kubectl, psql, `soulbox` and its kubectl plugin into the state folder."""
    ours = folders.state / "bin"
    ours.mkdir(parents=True, exist_ok=True)
    programs = {
        "kubectl": own_kubectl(chosen, folders),
        "psql": postgres.client(POSTGRES) or postgres.any_client(),
        **{
            name: folders.venv / "bin" / name
            for name in ("soulbox", "kubectl-soulbox", "kubectl_complete-soulbox")
        },
    }
    for name, target in programs.items():
        (ours / name).unlink(missing_ok=True)
        if target is not None:
            (ours / name).symlink_to(target)


def down(folders: Paths) -> None:
    """End everything this checkout started, and only that."""
    owner = ownership.current()
    if owner is not None and owner.checkout != str(CHECKOUT) and not ownership.is_abandoned(owner):
        raise ClusterError(
            f"the cluster that is up belongs to {owner.checkout}; end it there: "
            f"{owner.checkout}/hack/down"
        )
    if owner is None and not DATA_DIR.exists():
        step("nothing is up")
        _empty_state(folders.state)
        return
    _end(Path(owner.state) if owner else folders.state, owner.kind if owner else "local")
    step("down")


def _end(state: Path, chosen: str) -> None:
    step("ending the operator, the cluster and PostgreSQL")
    operator.stop()
    if chosen == "kind":
        kind.down()
    if postgres.is_running(POSTGRES):
        postgres.stop(POSTGRES)
    processes.kill_strays(_STRAYS, (DATA_DIR, RUN_DIR))
    postgres.stop(POSTGRES)
    if chosen == "local":
        local.down()
    for record in processes.recorded():
        processes.stop(record)
    for folder in (DATA_DIR, RUN_DIR):
        shutil.rmtree(folder, ignore_errors=True)
    _empty_state(state)


def _drop_logs(folders: Paths) -> None:
    shutil.rmtree(folders.logs, ignore_errors=True)
    for log in folders.state.glob("*.log"):
        log.unlink()


def _empty_state(state: Path) -> None:
    """Remove what `up` wrote, but keep the logs, which show what happened."""
    names = ("env", "kubeconfig", "operator.kubeconfig", "operator.token")
    for name in names:
        (state / name).unlink(missing_ok=True)
    shutil.rmtree(state / "bin", ignore_errors=True)


def status(folders: Paths) -> int:
    """Print what is up; 0 if the cluster is, else 3 as service scripts do."""
    owner = ownership.current()
    if owner is None:
        print("nothing is up")
        return 3
    print(f"kind {owner.kind}, checkout {owner.checkout}, state folder {owner.state}")
    records = [*processes.recorded(), *processes.recorded(POSTGRES / "processes")]
    for record in records:
        alive = f"pid {record.pid}" if processes.is_alive(record) else "GONE"
        print(f"  {record.name:24} {alive:12} {record.log}")
    if Path(owner.state, "kubeconfig").exists():
        command = [_kubectl(folders), "--kubeconfig", f"{owner.state}/kubeconfig", "get", "nodes"]
        subprocess.run(command, check=False)
    return 0 if all(map(processes.is_alive, records)) else 3


def _parser(command: str) -> argparse.ArgumentParser:
    about = {"up": up.__doc__, "down": down.__doc__, "status": status.__doc__}
    parser = argparse.ArgumentParser(prog=f"hack/{command}", description=about[command])
    parser.add_argument("--state-dir", metavar="DIR", help="env, kubeconfig, logs (.local)")
    if command == "up":
        parser.add_argument(
            "--operator", action=argparse.BooleanOptionalAction, default=True,
            help="install and run the operator too (default); tests start their own",
        )  # fmt: skip
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run `up`, `down` or `status`; 0 if it worked, 1 with one clear line if not."""
    command, *rest = arguments
    options = _parser(command).parse_args(rest)
    folders = paths(options.state_dir)
    try:
        if command == "status":
            return status(folders)
        with ownership.lock():
            if command == "up":
                up(folders, with_operator=options.operator)
            else:
                down(folders)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; hack/up goes on from here, hack/down ends what is up", file=sys.stderr)
        return 130
    return 0
