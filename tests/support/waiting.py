"""Waiting for objects and rows by watching, with a deadline that explains itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.support.direct import direct
from tests.support.fix_kube import Kubectl, KubectlError
from tests.support.patience import PATIENCE_SECONDS

Manifest = dict[str, Any]


class World:
    """One test's namespace on the cluster, and its rows in PostgreSQL."""

    def __init__(self, kubectl: Kubectl, namespace: str, dsn: str, operator_log: Path) -> None:
        self.kubectl = kubectl
        self.namespace = namespace
        self.dsn = dsn
        self._api = direct(kubectl)
        self._operator_log = operator_log

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object in the namespace."""
        metadata = {**manifest["metadata"], "namespace": self.namespace}
        return self._api.create({**manifest, "metadata": metadata})

    def get(self, kind: str, name: str) -> Manifest:
        """An object as it is now."""
        return self._api.get(kind, name, self.namespace)

    def list(self, kind: str) -> list[Manifest]:
        """All objects of a kind in the namespace."""
        return self._api.list(kind, self.namespace)

    def find(self, kind: str, name: str) -> Manifest | None:
        """An object, None if it does not exist."""
        try:
            return self.get(kind, name)
        except KubectlError as error:
            if "NotFound" in str(error):
                return None
            raise

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        """Merge-patch an object."""
        return self._api.patch(kind, name, self.namespace, patch)

    def delete(self, kind: str, name: str, *options: str) -> None:
        """Delete an object and return at once; with kubectl's options where there are any."""
        if not options:
            self._api.delete(kind, name, self.namespace)
            return
        self.kubectl.run(
            "delete", kind, name, "--namespace", self.namespace, "--wait=false", *options
        )

    def pods(self) -> list[Manifest]:
        """All pods of the namespace."""
        return self.list("pods")

    def events_of(self, name: str) -> list[Manifest]:
        """Events on the objects of that name."""
        selector = f"involvedObject.name={name}"
        return self._api.list("events", self.namespace, fieldSelector=selector)

    def pod_of(self, sandbox: str) -> str:
        """Name of the pod that a Sandbox's status names."""
        return str(self.get("sandbox", sandbox)["status"]["pod"]["name"])

    def shell(self, pod: str, *command: str) -> str:
        """stdout of a command in a pod's container."""
        return self.kubectl.run("exec", pod, "--namespace", self.namespace, "--", *command)

    def wait(
        self,
        kind: str,
        name: str,
        done: Callable[[Manifest], bool],
        what: str,
        seconds: float = PATIENCE_SECONDS,
    ) -> Manifest:
        """The object once `done` accepts it, as a watch brings it.

        Raises:
            AssertionError: not within `seconds`; with the object, its Events, the pods and
                the end of the operator's log.
        """
        newest: Manifest | None = None
        for newest in self._api.watch(kind, name, self.namespace, seconds):
            if done(newest):
                return newest
        raise AssertionError(self._explain(kind, name, newest, what, seconds))

    def wait_gone(self, kind: str, name: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Until an object does not exist any more."""
        self.poll(lambda: self.find(kind, name) is None, f"{kind} {name} to go", seconds)

    def execution(self, name: str, seconds: float = PATIENCE_SECONDS) -> Manifest:
        """An Execution once it is over."""
        return self.wait(
            "execution",
            name,
            lambda found: "completionTime" in found.get("status", {}),
            "a completionTime",
            seconds,
        )

    def sandbox(self, name: str, state: str = "Running") -> Manifest:
        """A Sandbox once it is in a state."""
        return self.wait(
            "sandbox",
            name,
            lambda found: found.get("status", {}).get("state") == state,
            f"state {state}",
        )

    def rows(self, query: str, **params: Any) -> list[Manifest]:
        """Rows of a query, as dicts."""
        with psycopg.connect(self.dsn, row_factory=dict_row, autocommit=True) as connection:
            return connection.execute(query, params).fetchall()  # type: ignore[arg-type]

    def wait_rows(
        self,
        query: str,
        done: Callable[[list[Manifest]], bool] = bool,
        seconds: float = PATIENCE_SECONDS,
        **params: Any,
    ) -> list[Manifest]:
        """Rows of a query once `done` accepts them: the mirror is a moment behind."""
        found: list[Manifest] = []

        def look() -> bool:
            nonlocal found
            found = self.rows(query, **params)
            return done(found)

        self.poll(look, lambda: f"rows of {query} ({params}), last {found}", seconds)
        return found

    def poll(
        self,
        done: Callable[[], bool],
        what: str | Callable[[], str],
        seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Until `done`, for what no watch tells."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                said = what if isinstance(what, str) else what()
                raise AssertionError(f"waited {seconds} s for {said}\n{self._log_end()}")
            time.sleep(0.05)

    def pause(self, seconds: float) -> None:
        """For "nothing happens": that holds for a named duration only."""
        time.sleep(seconds)

    def _explain(
        self, kind: str, name: str, newest: Manifest | None, what: str, seconds: float
    ) -> str:
        events = [f"{e.get('reason')}: {e.get('message')}" for e in self.events_of(name)]
        pods = [
            {"name": pod["metadata"]["name"], "status": pod.get("status")} for pod in self.pods()
        ]
        return "\n".join(
            (
                f"waited {seconds} s for {what} of {kind} {name}",
                json.dumps(newest, indent=1),
                f"Events: {events}",
                f"pods: {json.dumps(pods, indent=1)}",
                self._log_end(),
            )
        )

    def _log_end(self) -> str:
        if not self._operator_log.exists():
            return "there is no operator log"
        return "operator log:\n" + "\n".join(self._operator_log.read_text().splitlines()[-40:])
