"""What the API server refuses of changes of Functions, and what it must not refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.builders import make_function
from tests.support.fix_kube import Kubectl, KubectlError

pytestmark = pytest.mark.api

DRY_RUN = "--dry-run=server"
SCHEMA = {
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": {"type": "string"},
        "width": {"type": "integer", "maximum": 4096, "default": None},
    },
    "additionalProperties": False,
}
FULL: dict[str, Any] = {
    "version": "1.2.0",
    "inputSchema": SCHEMA,
    "outputSchema": {"type": "object", "required": ["bytes"]},
    "resources": {"cpu": "500m"},
    "description": "Resizes.",
    "tool": {
        "title": "Resize an image",
        "category": "media",
        "tags": ["image", "cpu"],
        "type": "code",
        "annotations": {"readOnlyHint": True, "x": {"deep": [1, None]}},
    },
}
STILL = "spec changed but spec.version is still 1.2.0: raise it, or leave it out and versions are"


@pytest.fixture
def taken(kubectl: Kubectl, namespace: str) -> dict[str, Any]:
    """A full Function that is published."""
    made = kubectl.create(make_function("resize", namespace, **FULL))
    status = {"status": {"version": "1.2.0"}}
    kubectl.merge_patch("functions", "resize", namespace, status, "--subresource=status")
    return made


def test_schemas_and_hints_are_kept_as_they_are_written(taken: dict[str, Any]) -> None:
    assert taken["spec"]["inputSchema"] == SCHEMA
    assert taken["spec"]["tool"] == FULL["tool"]


CONTENT: dict[str, dict[str, Any]] = {
    "code": {"code": "def main(input): return 2"},
    "files": {"files": [{"path": "a", "content": "x"}]},
    "handler": {"handler": "other"},
    "no handler": {"handler": None},
    "language": {"language": "python"},
    "class": {"className": "node"},
    "env": {"env": [{"name": "A", "value": "1"}]},
    "memory": {"resources": {"memory": "256Mi"}},
    "cpu": {"resources": {"cpu": "600m"}},
    "network": {"network": "web"},
    "timeout": {"timeoutSeconds": 31},
    "a bound deep in the input's schema": {
        "inputSchema": {"properties": {"width": {"maximum": 9000}}}
    },
    "a word of the input's schema": {"inputSchema": {"additionalProperties": True}},
    "no schema of the result": {"outputSchema": None},
    "schema of the result": {"outputSchema": {"required": ["other"]}},
}


@pytest.mark.parametrize("change", CONTENT.values(), ids=CONTENT.keys())
def test_what_runs_cannot_change_under_its_version(
    change: dict[str, Any], taken: dict[str, Any], kubectl: Kubectl, namespace: str
) -> None:
    with pytest.raises(KubectlError) as caught:
        kubectl.merge_patch("functions", "resize", namespace, {"spec": change}, DRY_RUN)
    assert STILL in str(caught.value)
    for version in ("1.3.0", None):
        patch = {"spec": {**change, "version": version}}
        kubectl.merge_patch("functions", "resize", namespace, patch, DRY_RUN)


def test_what_is_not_published_is_corrected_under_its_version(
    kubectl: Kubectl, namespace: str
) -> None:
    kubectl.create(make_function("new", namespace, **FULL))
    change = {"spec": CONTENT["schema of the result"]}
    kubectl.merge_patch("functions", "new", namespace, change, DRY_RUN)
    # Another one is current: this one was refused, and may be made what it was.
    status = {"status": {"version": "1.1.0"}}
    kubectl.merge_patch("functions", "new", namespace, status, "--subresource=status")
    kubectl.merge_patch("functions", "new", namespace, change, DRY_RUN)


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Resizes well."},
        {"tool": {"tags": ["image"]}},
        {"tool": None},
        {"deprecated": "use resize2"},
        {"suspend": True},
        {"scale": {"max": 3}},
        {"idempotent": True},
        {"ttlSecondsAfterFinished": 1},
        {"revisionHistoryLimit": 0},
    ],
)
def test_what_is_said_about_it_may_change(
    change: dict[str, Any], taken: dict[str, Any], kubectl: Kubectl, namespace: str
) -> None:
    kubectl.merge_patch("functions", "resize", namespace, {"spec": change}, DRY_RUN)


def test_who_pays_cannot_change(taken: dict[str, Any], kubectl: Kubectl, namespace: str) -> None:
    with pytest.raises(KubectlError, match=r"spec\.user cannot be changed after creation"):
        kubectl.merge_patch("functions", "resize", namespace, {"spec": {"user": "bob"}}, DRY_RUN)


@pytest.mark.parametrize("version", ["0.0.1", "1.2.0-rc.1", "10.20.30", "1.0.0-alpha-1", "1.0.0-0"])
def test_version_is_taken(version: str, kubectl: Kubectl) -> None:
    kubectl.create(make_function(version=version), DRY_RUN)


def test_name_of_63_characters_is_taken_and_one_more_is_not(kubectl: Kubectl) -> None:
    kubectl.create(make_function("a" * 63), DRY_RUN)
    with pytest.raises(KubectlError) as caught:
        kubectl.create(make_function("a" * 64), DRY_RUN)
    assert "metadata.name of a Function has at most 63 characters" in str(caught.value)


def test_it_is_found_by_its_short_name_and_category(
    taken: dict[str, Any], kubectl: Kubectl, namespace: str
) -> None:
    for word in ("sbf", "function", "soulbox"):
        told = kubectl.run("get", word, "--namespace", namespace, "--output", "name")
        assert "function.soulbox.dev/resize" in told
