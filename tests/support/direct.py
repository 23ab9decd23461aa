"""The API server without a kubectl for every call: each costs a tenth of a second of CPU, and tests
that wait ask again and again."""

from __future__ import annotations

import base64
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from tests.support.fix_kube import Kubectl, KubectlError

Manifest = dict[str, Any]

CALL_SECONDS = 60.0
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the objects of a kind are."""

    base: str  # "/apis/soulbox.dev/v1alpha1"
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str | None = None) -> str:
        """Of one object or of all; the namespace counts where the kind has one."""
        scope = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{self.base}{scope}/{self.plural}" + ("" if name is None else f"/{name}")


class Direct:
    """Calls as kubectl's kubeconfig gives the rights for, with kubectl's manners: fields that do
    not exist are refused, and managedFields are not shown.

    Raises:
        KubectlError: by every call that the API server refuses; the text is its answer.
    """

    def __init__(self, shown: Mapping[str, Any], acting_as: str | None = None) -> None:
        """`shown`: a kubeconfig of one context, with all data in it; `acting_as`: a user to be
        instead of its own."""
        (cluster,), (user,) = shown["clusters"], shown["users"]
        self._server = str(cluster["cluster"]["server"]).rstrip("/")
        credentials = user["user"]
        self._headers = {"Accept": "application/json"}
        if token := credentials.get("token"):
            self._headers["Authorization"] = f"Bearer {token}"
        if acting_as is not None:
            self._headers |= {
                "Impersonate-User": acting_as,
                "Impersonate-Group": "system:authenticated",
            }
        # OpenSSL reads a client's key from a file only.
        with tempfile.TemporaryDirectory(prefix="soulbox-tests-") as folder:
            files = {}
            for option, field in (
                ("cert_file", "client-certificate-data"), ("key_file", "client-key-data"),
            ):  # fmt: skip
                if field in credentials:
                    files[option] = Path(folder) / option
                    files[option].write_bytes(base64.b64decode(credentials[field]))
            context = urllib3.util.ssl_.create_urllib3_context()
            context.load_verify_locations(cadata=_pem(cluster["cluster"]))
            if files:
                context.load_cert_chain(files["cert_file"], files["key_file"])
        self._pool = urllib3.PoolManager(
            maxsize=32, retries=False, timeout=CALL_SECONDS, ssl_context=context
        )
        self._endpoints: dict[str, Endpoint] = {}

    def get(self, kind: str, name: str, namespace: str) -> Manifest:
        """An object."""
        return _shown(self._call("GET", self._endpoint(kind).path(namespace, name)))

    def list(self, kind: str, namespace: str, **query: str) -> list[Manifest]:
        """Objects of a kind; `query` as the API has it: fieldSelector, labelSelector."""
        answer = self._call("GET", self._endpoint(kind).path(namespace), query)
        return [_shown(item) for item in answer["items"]]

    def create(self, manifest: Manifest) -> Manifest:
        """The object as stored."""
        path = self._endpoint(manifest["kind"]).path(manifest["metadata"].get("namespace", ""))
        query = {"fieldManager": "kubectl-create", "fieldValidation": "Strict"}
        return _shown(self._call("POST", path, query, manifest))

    def patch(self, kind: str, name: str, namespace: str, patch: Manifest) -> Manifest:
        """The object after a JSON merge patch."""
        query = {"fieldManager": "kubectl-patch", "fieldValidation": "Strict"}
        path = self._endpoint(kind).path(namespace, name)
        return _shown(self._call("PATCH", path, query, patch, _MERGE_PATCH))

    def delete(self, kind: str, name: str, namespace: str) -> None:
        """Delete an object and return at once."""
        options = {"propagationPolicy": "Background"}
        self._call("DELETE", self._endpoint(kind).path(namespace, name), {}, options)

    def watch(self, kind: str, name: str, namespace: str, seconds: float) -> Iterator[Manifest]:
        """An object as it is, and after every change; at its end, as it last was."""
        path, deadline = self._endpoint(kind).path(namespace), time.monotonic() + seconds
        selector = {"fieldSelector": f"metadata.name={name}"}
        while time.monotonic() < deadline:
            listed = self._call("GET", path, selector)
            yield from (_shown(item) for item in listed["items"])
            version = listed["metadata"]["resourceVersion"]
            left = max(1, int(deadline - time.monotonic()))
            query = {**selector, "watch": "true", "resourceVersion": version}
            # Ends on time, or when the API server has forgotten that version: look again then.
            yield from self._events(path, {**query, "timeoutSeconds": str(left)}, left)

    def _events(self, path: str, query: Mapping[str, str], seconds: float) -> Iterator[Manifest]:
        answer = self._pool.request(
            "GET", f"{self._server}{path}?{urlencode(query)}", headers=self._headers,
            preload_content=False, timeout=urllib3.Timeout(connect=CALL_SECONDS, read=seconds + 5),
        )  # fmt: skip
        try:
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield _shown(event["object"])
        except urllib3.exceptions.HTTPError:
            return
        finally:
            answer.close()

    def _endpoint(self, kind: str) -> Endpoint:
        """Of a kind by any of its names: Sandbox, sandbox, sandboxes, sbx."""
        wanted = kind.lower()
        if wanted not in self._endpoints:
            self._discover()
        return self._endpoints[wanted]

    def _discover(self) -> None:
        for root in ("/api", "/apis"):
            for group in self._call("GET", root, accept=_DISCOVERY)["items"]:
                of_group = group["metadata"].get("name")
                version = group["versions"][0]  # the preferred one
                base = "/".join(filter(None, (root, of_group, version["version"])))
                for resource in version["resources"]:
                    found = Endpoint(base, resource["resource"], resource["scope"] == "Namespaced")
                    for name in (
                        resource["resource"], resource["singularResource"],
                        resource["responseKind"]["kind"], *resource.get("shortNames", ()),
                    ):  # fmt: skip
                        self._endpoints.setdefault(name.lower(), found)

    def _call(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Manifest:
        answer = self._pool.request(
            verb,
            f"{self._server}{path}" + (f"?{urlencode(query)}" if query else ""),
            body=None if body is None else json.dumps(body),
            headers={**self._headers, "Accept": accept, "Content-Type": content},
        )
        if answer.status >= 300:
            said = answer.data.decode(errors="replace")
            try:
                status = json.loads(said)
                said = f"Error from server ({status.get('reason')}): {status.get('message')}"
            except ValueError:
                pass
            raise KubectlError(said)
        return dict(json.loads(answer.data))


@cache
def direct(kubectl: Kubectl) -> Direct:
    """The same cluster and rights as kubectl's."""
    shown = kubectl.run("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    return Direct(json.loads(shown), kubectl.user)


def _shown(manifest: Manifest) -> Manifest:
    manifest["metadata"].pop("managedFields", None)
    return manifest


def _pem(cluster: Mapping[str, Any]) -> str:
    return base64.b64decode(cluster["certificate-authority-data"]).decode()
