"""What the doctor says of what was seen: verdict, words, remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from soulbox.pure.doctor.classes import (
    ClassSeen,
    Enforcement,
    NodeOpen,
    NodeSeen,
    judge_classes,
    judge_network,
    judge_nodes,
)
from soulbox.pure.doctor.cluster import (
    AdmissionSeen,
    ClusterSeen,
    CrdSeen,
    Right,
    RightsSeen,
    judge_admission,
    judge_cluster,
    judge_crds,
    judge_rights,
)
from soulbox.pure.doctor.database import DatabaseSeen, judge_database
from soulbox.pure.doctor.finding import Finding, Unseen, Verdict, worst
from soulbox.pure.doctor.operator import (
    Election,
    HeldSeen,
    LeaderSeen,
    judge_leader,
    judge_records,
    judge_settings,
    judge_signing_key,
)

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL

CLUSTER = ClusterSeen(
    server="https://api:6443",
    version="v1.34.4",
    major="1",
    minor="34",
    answer_seconds=0.004,
    skew_seconds=0.2,
)
CRD = CrdSeen(name="sandboxes.soulbox.dev", present=True, established=True, served=True)
CLASS = ClassSeen(name="python", problem="", image="soulbox/python:1", nodes_with_image=2, nodes=2)
NODE = NodeSeen(name="one", ready=True, pid_limit=1024, lease_age_seconds=4.0)
DATABASE = DatabaseSeen(
    version=150_018,
    login="soulbox_operator",
    in_recovery=False,
    max_connections=100,
    pool_max_size=10,
    answer_seconds=0.001,
    schema_problem="",
    pending=(),
    lacking=(),
    excess=(),
    skew_seconds=0.5,
)
LEADER = LeaderSeen(holder="pod-a", age_seconds=1.0, duration_seconds=15.0)
DENIED = Unseen(why="nodes is forbidden", denied=True)

# What is judged, what was seen, the worst verdict, and words that stand in what is found or
# in the remedy.
CASES: dict[str, tuple[Callable[[Any], list[Finding]], Any, Verdict, str]] = {
    "a cluster that answers": (judge_cluster, CLUSTER, OK, "v1.34.4 at https://api:6443"),
    "a cluster that is too old": (
        judge_cluster,
        replace(CLUSTER, version="v1.29.1", minor="29"),
        FAIL,
        "needs Kubernetes 1.30",
    ),
    "a cluster whose minor has a plus": (
        judge_cluster,
        replace(CLUSTER, minor="30+"),
        OK,
        "agree within a second",
    ),
    "a cluster without a version": (
        judge_cluster,
        replace(CLUSTER, major="", minor=""),
        FAIL,
        "needs Kubernetes 1.30",
    ),
    "a clock a little ahead": (
        judge_cluster,
        replace(CLUSTER, skew_seconds=3.0),
        OK,
        "3 s ahead of the API server",
    ),
    "a clock far behind": (
        judge_cluster,
        replace(CLUSTER, skew_seconds=-3600.0),
        WARN,
        "3600 s behind the API server",
    ),
    "no cluster": (
        judge_cluster,
        Unseen(why="the API server at https://api:1 does not answer"),
        FAIL,
        "set KUBECONFIG",
    ),
    "every right": (
        judge_rights,
        RightsSeen(account="sa", asked=37, denied=()),
        OK,
        "all 37 rights",
    ),
    "a right that is missing": (
        judge_rights,
        RightsSeen(
            account="sa",
            asked=37,
            denied=(Right(group="soulbox.dev", resource="executions/status", verb="patch"),),
        ),
        FAIL,
        "may not: patch executions.soulbox.dev/status",
    ),
    "many rights that are missing": (
        judge_rights,
        RightsSeen(
            account="sa",
            asked=37,
            denied=tuple(Right(group="", resource=f"r{n}", verb="get") for n in range(7)),
        ),
        FAIL,
        "and 2 more",
    ),
    "rights that nobody may ask about": (
        judge_rights,
        DENIED,
        WARN,
        "as an administrator",
    ),
    "CRDs of this release": (judge_crds, [CRD], OK, "this release's schema"),
    "a CRD that is missing": (
        judge_crds,
        [CRD, CrdSeen(name="executions.soulbox.dev", present=False)],
        FAIL,
        "executions.soulbox.dev is not installed",
    ),
    "a CRD that serves another version": (
        judge_crds,
        [replace(CRD, served=False)],
        FAIL,
        "our version is not served",
    ),
    "a CRD that is not established": (
        judge_crds,
        [replace(CRD, established=False)],
        FAIL,
        "our version is not served",
    ),
    "a CRD of an older release": (
        judge_crds,
        [replace(CRD, lacking=("spec.a", "spec.b", "spec.c", "spec.d"), differs=True)],
        FAIL,
        "older than this release: it lacks spec.a, spec.b, spec.c …",
    ),
    "a CRD of a newer release": (
        judge_crds,
        [replace(CRD, foreign=("spec.later",), differs=True)],
        WARN,
        "newer than this release: it has spec.later",
    ),
    "a CRD with other bounds": (
        judge_crds,
        [replace(CRD, differs=True)],
        WARN,
        "other bounds",
    ),
    "classes that can start": (judge_classes, [CLASS], OK, "images on every node"),
    "no class": (judge_classes, [], FAIL, "there is no SandboxClass"),
    "a class the operator cannot read": (
        judge_classes,
        [replace(CLASS, problem="spec.image is missing")],
        FAIL,
        "python: spec.image is missing",
    ),
    "a class whose runtime is missing": (
        judge_classes,
        [replace(CLASS, runtime_class="gvisor", runtime_class_exists=False)],
        FAIL,
        "RuntimeClass gvisor does not exist",
    ),
    "a class whose runtime could not be looked at": (
        judge_classes,
        [replace(CLASS, runtime_class="gvisor", runtime_class_exists=None)],
        OK,
        "",
    ),
    "an image that must still be pulled": (
        judge_classes,
        [replace(CLASS, nodes_with_image=0)],
        WARN,
        "is on 0 of 2 nodes",
    ),
    "an image that is never pulled and nowhere": (
        judge_classes,
        [replace(CLASS, nodes_with_image=0, never_pulled=True)],
        FAIL,
        "load it on every node",
    ),
    "an image that is never pulled and on some nodes": (
        judge_classes,
        [replace(CLASS, nodes_with_image=1, never_pulled=True)],
        WARN,
        "is on 1 of 2 nodes",
    ),
    "images that could not be looked for": (
        judge_classes,
        [replace(CLASS, nodes_with_image=None)],
        OK,
        "",
    ),
    "a node in order": (judge_nodes, [NODE], OK, "at most 1024 processes per pod"),
    "no node that is ready": (
        judge_nodes,
        [replace(NODE, ready=False)],
        FAIL,
        "none of 1 is Ready",
    ),
    "one node that is not ready": (
        judge_nodes,
        [NODE, replace(NODE, name="two", ready=False)],
        WARN,
        "two is not Ready",
    ),
    "a node without a bound on processes": (
        judge_nodes,
        [replace(NODE, pid_limit=None)],
        WARN,
        "set podPidsLimit",
    ),
    "a node whose configuration may not be read": (
        judge_nodes,
        [replace(NODE, pid_limit=DENIED)],
        WARN,
        "could not be read: nodes is forbidden",
    ),
    "a node whose clock is ahead": (
        judge_nodes,
        [replace(NODE, lease_age_seconds=-12.0)],
        WARN,
        "the clock of one is 12 s ahead",
    ),
    "a node whose clock is out of the runner's window": (
        judge_nodes,
        [replace(NODE, lease_age_seconds=-31.0)],
        FAIL,
        "runners refuse calls that are 30 s off",
    ),
    "policies that are enforced": (
        judge_network,
        Enforcement.ENFORCED,
        OK,
        "that a NetworkPolicy forbids failed",
    ),
    "policies that are not enforced": (
        judge_network,
        Enforcement.NOT_ENFORCED,
        FAIL,
        "install a CNI",
    ),
    "policies that leave the pod's own node open": (
        judge_network,
        NodeOpen(ports=("the API server",)),
        WARN,
        "a pod without network reaches the API server",
    ),
    "policies that were not tried": (
        judge_network,
        Enforcement.NOT_TRIED,
        WARN,
        "--probe-network",
    ),
    "a probe that proves nothing": (
        judge_network,
        Enforcement.INCONCLUSIVE,
        WARN,
        "even without a policy",
    ),
    "a probe that could not be made": (
        judge_network,
        Unseen(why="quota exceeded"),
        WARN,
        "quota exceeded",
    ),
    "admission policies in force": (
        judge_admission,
        AdmissionSeen(wanted=("soulbox-pods", "soulbox-user"), missing=(), unbound=()),
        OK,
        "soulbox-pods, soulbox-user are in force",
    ),
    "an admission policy without a binding": (
        judge_admission,
        AdmissionSeen(
            wanted=("soulbox-pods", "soulbox-user"), missing=(), unbound=("soulbox-user",)
        ),
        FAIL,
        "not in force: soulbox-user",
    ),
    "an admission policy that is missing": (
        judge_admission,
        AdmissionSeen(
            wanted=("soulbox-user",), missing=("soulbox-user",), unbound=("soulbox-user",)
        ),
        FAIL,
        "not in force: soulbox-user;",
    ),
    "a signing key": (judge_signing_key, True, OK, "well-formed"),
    "no signing key yet": (judge_signing_key, False, WARN, "there is none yet"),
    "a damaged signing key": (
        judge_signing_key,
        'Secret a/b has no valid "seed"',
        FAIL,
        "no valid",
    ),
    "a leader": (judge_leader, LEADER, OK, "pod-a leads, last renewed 1 s ago"),
    "a leader whose clock is ahead": (
        judge_leader,
        replace(LEADER, age_seconds=-0.5),
        OK,
        "last renewed 0 s ago",
    ),
    "a dead leader": (
        judge_leader,
        replace(LEADER, age_seconds=99.0),
        FAIL,
        "it is dead and nobody took over",
    ),
    "a lease that was released": (
        judge_leader,
        replace(LEADER, holder=None),
        WARN,
        "nobody leads",
    ),
    "no election": (judge_leader, Election.OFF, OK, "leader_elect is off"),
    "nothing is held": (
        lambda seen: judge_records(seen, ""),
        HeldSeen(objects=0, oldest_seconds=0.0, deadline_seconds=600.0),
        OK,
        "no deleted object waits for its record; no spool volume",
    ),
    "deleted objects are held": (
        lambda seen: judge_records(seen, "/spool"),
        HeldSeen(objects=3, oldest_seconds=900.4, deadline_seconds=600.0),
        WARN,
        "3 objects deleted over 600 s ago are still there, the oldest for 900 s; spool volume at"
        " /spool",
    ),
    "held objects unseen": (
        lambda seen: judge_records(seen, ""),
        Unseen(why="may not", denied=True),
        WARN,
        "could not be checked: may not",
    ),
    "no lease": (judge_leader, None, WARN, "no operator has ever led here"),
    "a database in order": (
        judge_database,
        DATABASE,
        OK,
        "PostgreSQL 15.18 as soulbox_operator",
    ),
    "a database that is away": (
        judge_database,
        Unseen(why="cannot connect to PostgreSQL"),
        FAIL,
        "check SOULBOX_DSN",
    ),
    "a database that is too old": (
        judge_database,
        replace(DATABASE, version=140_011),
        FAIL,
        "needs PostgreSQL 15",
    ),
    "a standby": (
        judge_database,
        replace(DATABASE, in_recovery=True),
        FAIL,
        "target_session_attrs=read-write",
    ),
    "migrations that are missing": (
        judge_database,
        replace(DATABASE, pending=("0007_more",)),
        FAIL,
        "not applied: 0007_more",
    ),
    "a schema of another release": (
        judge_database,
        replace(DATABASE, schema_problem="the database is newer than this release"),
        FAIL,
        "newer than this release",
    ),
    "rights that the login lacks": (
        judge_database,
        replace(DATABASE, lacking=("INSERT on executions",)),
        FAIL,
        "lacks INSERT on executions",
    ),
    "a login that may change bills": (
        judge_database,
        replace(DATABASE, excess=("delete bills", "update bills")),
        WARN,
        "may delete bills, update bills",
    ),
    "a pool that is too large": (
        judge_database,
        replace(DATABASE, pool_max_size=51),
        WARN,
        "pool_max_size 51 of max_connections 100",
    ),
    "a database whose clock is off": (
        judge_database,
        replace(DATABASE, skew_seconds=-61.0),
        WARN,
        "61 s behind the API server's",
    ),
    "a database beside an unknown API server": (
        judge_database,
        replace(DATABASE, skew_seconds=None),
        OK,
        "",
    ),
    "settings in order": (
        lambda problem: judge_settings(problem, {"profile": "production"}),
        "",
        OK,
        "profile production",
    ),
    "settings without a database": (
        lambda problem: judge_settings(problem, {}),
        "no database is set",
        FAIL,
        "no database is set",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_finding(case: str) -> None:
    judge, seen, want_verdict, want_words = CASES[case]
    findings = judge(seen)
    assert findings
    assert worst(findings) is want_verdict
    said = [f"{finding.found} → {finding.remedy}" for finding in findings]
    assert any(want_words in words for words in said), said


@pytest.mark.parametrize("case", CASES)
def test_whatever_is_not_in_order_has_a_remedy_of_one_line(case: str) -> None:
    judge, seen, _, _ = CASES[case]
    for finding in judge(seen):
        assert bool(finding.remedy) == (finding.verdict is not OK)
        assert "\n" not in finding.remedy + finding.found


def test_missing_schema_hides_rights_that_come_with_it() -> None:
    seen = replace(DATABASE, pending=("0001_base",), lacking=("INSERT on executions",))
    assert [f.check for f in judge_database(seen)] == [
        "database",
        "migrations",
        "database-clock",
    ]


def test_worst_of_nothing_is_ok() -> None:
    assert worst([]) is OK
