"""What GitOps tools think of an object: Argo CD's health by its Lua, kstatus by itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import lupa.lua51

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "manifests/argocd/soulbox.dev"


def argocd_health(manifest: dict[str, Any]) -> dict[str, str]:
    """Status and message that Argo CD shows. Argo opens no library but the basic ones; the
    script gets no more here."""
    runtime = lupa.lua51.LuaRuntime(register_eval=False, register_builtins=False)
    for library in ("os", "io", "package", "require", "debug", "dofile", "loadfile"):
        runtime.globals()[library] = None
    runtime.globals().obj = runtime.table_from(manifest, recursive=True)
    answer = runtime.execute((SCRIPTS / manifest["kind"] / "health.lua").read_text())
    return dict(answer.items())


def kstatus(manifests: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Status and message of each, by sigs.k8s.io/cli-utils."""
    done = subprocess.run(
        [ROOT / "hack/kstatus/kstatus"],
        input="".join(json.dumps(manifest) + "\n" for manifest in manifests),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
