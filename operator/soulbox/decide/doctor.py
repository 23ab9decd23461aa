"""What an installation looks like, and what is wrong with it. Pure: seen in, findings out.

`soulbox doctor` looks (app/doctor) and hands each look to its judge here. A look that was
not possible is an `Unseen`: it is told as such, never as health.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """How bad a finding is; the worst is the answer as a whole."""

    OK = "OK"
    # It works, or could not be looked at; a person should know.
    WARN = "WARN"
    # SoulBox does not work, or not safely.
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at.

    Attributes:
        check: whose finding it is, "cluster" for example.
        remedy: what to do, one line; "" when nothing is.
    """

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """It could not be looked at. `denied`: the person lacks the right to."""

    why: str
    denied: bool = False


def worst(findings: Sequence[Finding]) -> Verdict:
    """The verdict over all."""
    order = list(Verdict)
    return max((f.verdict for f in findings), key=order.index, default=Verdict.OK)


def _ok(check: str, found: str) -> Finding:
    return Finding(check=check, verdict=Verdict.OK, found=found)


def _warn(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WARN, found=found, remedy=remedy)


def _fail(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, verdict=Verdict.FAIL, found=found, remedy=remedy)


def unseen(check: str, seen: Unseen) -> Finding:
    """A look that was not possible."""
    remedy = (
        "run soulbox doctor as an administrator of the cluster"
        if seen.denied
        else "mend that, then run soulbox doctor again"
    )
    return _warn(check, f"could not be looked at: {seen.why}", remedy)


# Cluster

# ValidatingAdmissionPolicy is v1 from 1.30 on.
_OLDEST_KUBERNETES: Final = (1, 30)
# Times in objects are compared with ours for people only; the operator uses the API
# server's clock. A guess of what starts to confuse.
_SKEW_WARN_SECONDS: Final = 5.0
# A runner takes a call signed within 30 s of its node's clock (runner/internal/sign).
_RUNNER_WINDOW_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSeen:
    """The API server's answer to /version; `minor` may hold a "+"."""

    server: str
    version: str
    major: str
    minor: str
    answer_seconds: float
    skew_seconds: float  # our wall clock minus the API server's


def judge_cluster(seen: ClusterSeen | Unseen) -> list[Finding]:
    """Reachable, new enough, of one time with us."""
    if isinstance(seen, Unseen):
        remedy = "set KUBECONFIG or --kubeconfig, and check the network to the API server"
        return [_fail("cluster", seen.why, remedy)]
    found = f"Kubernetes {seen.version} at {seen.server}, {seen.answer_seconds * 1000:.0f} ms"
    digits = "".join(char for char in seen.minor if char.isdigit())
    version = (int(seen.major), int(digits)) if seen.major.isdigit() and digits else (0, 0)
    findings = [_ok("cluster", found)]
    if version < _OLDEST_KUBERNETES:
        findings = [_fail("cluster", found, "SoulBox needs Kubernetes 1.30 or later: upgrade it")]
    return [*findings, _clock(seen.skew_seconds)]


def _clock(skew: float) -> Finding:
    if abs(skew) < 1:
        return _ok("clock", "this machine and the API server agree within a second")
    found = (
        f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API server"
    )
    if abs(skew) < _SKEW_WARN_SECONDS:
        return _ok("clock", found)
    return _warn("clock", found, "set both by NTP (the operator itself uses the API server's time)")


# Rights


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Right:
    """One thing the operator must be allowed to do.

    Attributes:
        resource: plural, with its subresource after a slash.
        namespace: None: in all of them, or the resource has none.
        name: None: whatever its name.
    """

    group: str
    resource: str
    verb: str
    namespace: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        resource, slash, part = self.resource.partition("/")
        resource += (f".{self.group}" if self.group else "") + slash + part
        named = "" if self.name is None else f" {self.name}"
        where = "" if self.namespace is None else f" in {self.namespace}"
        return f"{self.verb} {resource}{named}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RightsSeen:
    """Who was asked about, and what that account may not do."""

    account: str
    asked: int
    denied: tuple[Right, ...]


def judge_rights(seen: RightsSeen | Unseen) -> list[Finding]:
    """The operator may do all that it must."""
    if isinstance(seen, Unseen):
        return [unseen("rights", seen)]
    if not seen.denied:
        return [_ok("rights", f"{seen.account} has all {seen.asked} rights it needs")]
    words = "; ".join(str(right) for right in sorted(seen.denied, key=str)[:5])
    more = f" and {len(seen.denied) - 5} more" if len(seen.denied) > 5 else ""
    remedy = "apply the ClusterRoles, Roles and their bindings of this release's install"
    return [_fail("rights", f"{seen.account} may not: {words}{more}", remedy)]


# CustomResourceDefinitions


@dataclass(frozen=True, slots=True, kw_only=True)
class CrdSeen:
    """A CRD of this release as the cluster has it.

    Attributes:
        present: installed at all.
        established: the API server serves it.
        served: whether our version is served.
        lacking: fields of this release that the cluster's schema lacks.
        foreign: fields of the cluster's schema that this release lacks.
        differs: the same fields, but other bounds, texts or rules.
    """

    name: str
    present: bool
    established: bool = False
    served: bool = False
    lacking: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    differs: bool = False


_APPLY_CRDS: Final = "kubectl apply --server-side -f crds/ of this release"


def judge_crds(seen: Sequence[CrdSeen] | Unseen) -> list[Finding]:
    """All there, served, with this release's schema."""
    if isinstance(seen, Unseen):
        return [unseen("crds", seen)]
    findings = [finding for crd in seen if (finding := _crd(crd)) is not None]
    return findings or [_ok("crds", f"all {len(seen)} have this release's schema")]


def _crd(crd: CrdSeen) -> Finding | None:
    if not crd.present:
        return _fail("crds", f"{crd.name} is not installed", _APPLY_CRDS)
    if not crd.established or not crd.served:
        return _fail("crds", f"{crd.name} is there but our version is not served", _APPLY_CRDS)
    if crd.lacking:
        fields = ", ".join(crd.lacking[:3]) + (" …" if len(crd.lacking) > 3 else "")
        found = f"{crd.name} is older than this release: it lacks {fields}"
        return _fail("crds", found, _APPLY_CRDS)
    if crd.foreign:
        fields = ", ".join(crd.foreign[:3]) + (" …" if len(crd.foreign) > 3 else "")
        found = f"{crd.name} is newer than this release: it has {fields}"
        return _warn("crds", found, "run the operator of the release that the CRDs are of")
    if crd.differs:
        found = f"{crd.name} has other bounds or rules than this release"
        return _warn("crds", found, _APPLY_CRDS)
    return None


# Classes and their images


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSeen:
    """A SandboxClass.

    Attributes:
        problem: why the operator cannot use it; "" if it can.
        runtime_class: the RuntimeClass it names, None for none.
        runtime_class_exists: whether that is there; None: could not be looked at.
        nodes_with_image: how many nodes hold the image; None: could not be looked at.
        nodes: how many nodes there are.
        never_pulled: imagePullPolicy Never.
    """

    name: str
    problem: str
    image: str
    runtime_class: str | None = None
    runtime_class_exists: bool | None = None
    nodes_with_image: int | None = None
    nodes: int = 0
    never_pulled: bool = False


def judge_classes(seen: Sequence[ClassSeen] | Unseen) -> list[Finding]:
    """There are some, the operator understands them, and pods of them can start."""
    if isinstance(seen, Unseen):
        return [unseen("classes", seen)]
    if not seen:
        return [
            _fail(
                "classes",
                "there is no SandboxClass",
                "apply the classes of manifests/install.yaml, or set `classes` of the chart",
            )
        ]
    findings = [finding for one in seen for finding in _class(one)]
    names = ", ".join(one.name for one in seen)
    return findings or [_ok("classes", f"{names}: images on every node, runtimes there")]


def _class(one: ClassSeen) -> list[Finding]:
    findings = []
    if one.problem:
        findings.append(_fail("classes", f"{one.name}: {one.problem}", "mend the SandboxClass"))
    if one.runtime_class is not None and one.runtime_class_exists is False:
        found = f"{one.name}: RuntimeClass {one.runtime_class} does not exist"
        findings.append(_fail("classes", found, "install that runtime, or name another"))
    held = one.nodes_with_image
    if held is None or held == one.nodes:
        return findings
    found = f"{one.name}: image {one.image} is on {held} of {one.nodes} nodes"
    if one.never_pulled:
        verdict = _fail if held == 0 else _warn
        remedy = "load it on every node, or let the class pull it (imagePullPolicy)"
        return [*findings, verdict("classes", found, remedy)]
    remedy = "none needed if nodes can pull it: the first pod there waits for the pull"
    return [*findings, _warn("classes", found, remedy)]


# Nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A node.

    Attributes:
        pid_limit: the kubelet's podPidsLimit; None: unlimited; Unseen: not to be read.
        lease_age_seconds: since its last sign of life by the API server's clock, negative
            when the node's clock is ahead; None: it has no Lease.
    """

    name: str
    ready: bool
    pid_limit: int | Unseen | None
    lease_age_seconds: float | None


def judge_nodes(seen: Sequence[NodeSeen] | Unseen) -> list[Finding]:
    """Ready, of one time with the API server, and bounding processes a pod."""
    if isinstance(seen, Unseen):
        return [unseen("nodes", seen)]
    if not any(node.ready for node in seen):
        found = f"none of {len(seen)} is Ready"
        return [_fail("nodes", found, "kubectl describe nodes says why")]
    findings = [finding for node in seen for finding in _node(node)]
    limits = {node.pid_limit for node in seen if isinstance(node.pid_limit, int)}
    words = ", ".join(map(str, sorted(limits)))
    return findings or [
        _ok("nodes", f"{len(seen)} Ready, clocks agree, at most {words} processes a pod")
    ]


def _node(node: NodeSeen) -> list[Finding]:
    findings = []
    if not node.ready:
        findings.append(_warn("nodes", f"{node.name} is not Ready", "kubectl describe node"))
    age = node.lease_age_seconds
    if node.ready and age is not None and age < -_SKEW_WARN_SECONDS:
        found = f"the clock of {node.name} is {-age:.0f} s ahead of the API server's"
        verdict = _fail if -age >= _RUNNER_WINDOW_SECONDS else _warn
        remedy = "set it by NTP: runners refuse calls that are 30 s off, and bills use its times"
        findings.append(verdict("nodes", found, remedy))
    if isinstance(node.pid_limit, Unseen):
        found = f"{node.name}: its process limit a pod could not be read: {node.pid_limit.why}"
        remedy = "look at podPidsLimit in its kubelet's configuration; it should be set"
        findings.append(_warn("nodes", found, remedy))
    elif node.pid_limit is None:
        found = f"{node.name}: a pod may start processes without bound"
        remedy = "set podPidsLimit (1024, say) in its kubelet's configuration"
        findings.append(_warn("nodes", found, remedy))
    return findings


# Network policies


class Enforcement(StrEnum):
    """What the probe saw."""

    NOT_TRIED = "not tried"
    ENFORCED = "enforced"
    NOT_ENFORCED = "not enforced"
    # Not even the connection that nothing forbids came about.
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOpen:
    """Policies are enforced between pods, but these ports of the pod's node answered."""

    ports: tuple[str, ...]


def judge_network(seen: Enforcement | NodeOpen | Unseen) -> list[Finding]:
    """Sandboxes without network have none."""
    match seen:
        case Unseen():
            return [unseen("network", seen)]
        case NodeOpen(ports=ports):
            found = (
                f"enforced between pods, but a pod without network reaches {' and '.join(ports)}"
            )
            remedy = (
                "Kubernetes leaves a pod's own node open to it, and these ports ask for "
                "credentials; host policies (Cilium, Calico) or a firewall can close them"
            )
            return [_warn("network", found, remedy)]
        case Enforcement.ENFORCED:
            return [_ok("network", "a connection that a NetworkPolicy forbids failed")]
        case Enforcement.NOT_ENFORCED:
            found = "a connection that a NetworkPolicy forbids came about: sandboxes have network"
            return [_fail("network", found, "install a CNI that enforces NetworkPolicies")]
        case Enforcement.INCONCLUSIVE:
            found = "the probe's pods could not connect even without a policy"
            return [_warn("network", found, "check the cluster's pod network, then probe again")]
        case Enforcement.NOT_TRIED:
            found = "whether the CNI enforces NetworkPolicies is unknown"
            remedy = "soulbox doctor --probe-network tries it with pods of its own"
            return [_warn("network", found, remedy)]


# Admission policies


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionSeen:
    """Names of ValidatingAdmissionPolicies of this release, those that are missing, and
    those that no binding puts in force."""

    wanted: tuple[str, ...]
    missing: tuple[str, ...]
    unbound: tuple[str, ...]


def judge_admission(seen: AdmissionSeen | Unseen) -> list[Finding]:
    """Who may bill others, and who may touch our pods, is held by the API server."""
    if isinstance(seen, Unseen):
        return [unseen("admission", seen)]
    absent = sorted({*seen.missing, *seen.unbound})
    if not absent:
        return [_ok("admission", f"{', '.join(seen.wanted)} are in force")]
    found = f"not in force: {', '.join(absent)}; users may bill others, or edit sandbox pods"
    return [_fail("admission", found, "apply the admission policies of this release's install")]


# Signing key


def judge_signing_key(seen: bool | str | Unseen) -> list[Finding]:
    """Args:
    seen: True: there and good; False: not there yet; text: what is wrong with it.
    """
    match seen:
        case Unseen():
            return [unseen("signing-key", seen)]
        case True:
            return [_ok("signing-key", "there and well-formed")]
        case False:
            remedy = "none: the operator makes it when it starts for the first time"
            return [_warn("signing-key", "there is none yet", remedy)]
        case problem:
            remedy = (
                "restore the Secret from a backup, or delete it: docs/operations.md#signing-key"
            )
            return [_fail("signing-key", problem, remedy)]


# Leader


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderSeen:
    """The operator's Lease; holder None: released, or never taken."""

    holder: str | None
    age_seconds: float
    duration_seconds: float


class Election(StrEnum):
    """Whether there is one."""

    OFF = "off"  # leader_elect is false


def judge_leader(seen: LeaderSeen | Election | Unseen | None) -> list[Finding]:
    """Somebody leads now. None: there is no Lease."""
    remedy = "start the operator; if it runs, its log says why it does not lead"
    match seen:
        case Election.OFF:
            return [_ok("leader", "leader_elect is off: one operator alone, without a Lease")]
        case Unseen():
            return [unseen("leader", seen)]
        case None:
            return [_warn("leader", "no operator has ever led here", remedy)]
        case LeaderSeen(holder=None):
            return [_warn("leader", "nobody leads", remedy)]
    found = f"{seen.holder} leads, last renewed {max(0.0, seen.age_seconds):.0f} s ago"
    if seen.age_seconds > seen.duration_seconds:
        return [_fail("leader", f"{found}: it is dead and nobody took over", remedy)]
    return [_ok("leader", found)]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSeen:
    """Deleted objects that still wait for their records.

    Attributes:
        objects: those whose deletion was asked for over `deadline_seconds` ago.
        oldest_seconds: how long ago that was of the oldest; 0 when there is none.
    """

    objects: int
    oldest_seconds: float
    deadline_seconds: float


def judge_records(seen: HeldSeen | Unseen, spool_directory: str) -> list[Finding]:
    """What was deleted is gone. `spool_directory`: the setting; "" for none."""
    if isinstance(seen, Unseen):
        return [unseen("records", seen)]
    spool = f"spool volume at {spool_directory}" if spool_directory else "no spool volume"
    if not seen.objects:
        return [_ok("records", f"no deleted object waits for its record; {spool}")]
    found = (
        f"{seen.objects} objects deleted over {seen.deadline_seconds:.0f} s ago are still there,"
        f" the oldest for {seen.oldest_seconds:.0f} s; {spool}"
    )
    remedy = "see database and leader; kubectl describe says of each what it waits for"
    return [_warn("records", found, remedy)]


# Database

_OLDEST_POSTGRESQL: Final = 150_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSeen:
    """PostgreSQL, looked at with the operator's own login.

    Attributes:
        version: server_version_num, 150018 for 15.18.
        in_recovery: it is a standby.
        schema_problem: why the schema is not this release's; "" if it is.
        pending: migrations that were not applied yet.
        lacking: rights of soulbox_writer that the login lacks, "INSERT on executions".
        excess: rights on the ledger that the operator must not have.
        skew_seconds: the database's clock minus the API server's; None: that is not known.
    """

    version: int
    login: str
    in_recovery: bool
    max_connections: int
    pool_max_size: int
    answer_seconds: float
    schema_problem: str
    pending: tuple[str, ...]
    lacking: tuple[str, ...]
    excess: tuple[str, ...]
    skew_seconds: float | None


def judge_database(seen: DatabaseSeen | Unseen) -> list[Finding]:
    """Reachable, new enough, migrated, writable; with the rights it needs and no others."""
    if isinstance(seen, Unseen):
        return [_fail("database", seen.why, "check SOULBOX_DSN; docs/operations.md#database")]
    found = (
        f"PostgreSQL {seen.version // 10_000}.{seen.version % 10_000} as {seen.login},"
        f" {seen.answer_seconds * 1000:.0f} ms"
    )
    findings = [_ok("database", found)]
    if seen.version < _OLDEST_POSTGRESQL:
        findings = [_fail("database", found, "SoulBox needs PostgreSQL 15 or later: upgrade it")]
    elif seen.in_recovery:
        remedy = "let SOULBOX_DSN name the primary: target_session_attrs=read-write"
        findings = [_fail("database", f"{found}: it is a standby, which takes no rows", remedy)]
    if seen.pool_max_size * 2 > seen.max_connections:
        words = f"pool_max_size {seen.pool_max_size} of max_connections {seen.max_connections}"
        remedy = "raise max_connections or lower pool_max_size: two replicas use it twice"
        findings.append(_warn("database", words, remedy))
    return [*findings, _schema(seen), *_database_rights(seen), *_database_clock(seen)]


def _schema(seen: DatabaseSeen) -> Finding:
    if seen.schema_problem:
        return _fail("migrations", seen.schema_problem, "docs/upgrade.md")
    if seen.pending:
        names = ", ".join(seen.pending)
        return _fail("migrations", f"not applied: {names}", "soulbox migrate")
    return _ok("migrations", "the schema is this release's")


def _database_rights(seen: DatabaseSeen) -> list[Finding]:
    if seen.pending or seen.schema_problem:
        return []  # the rights come with the schema
    findings = []
    if seen.lacking:
        words = ", ".join(seen.lacking[:4]) + (" …" if len(seen.lacking) > 4 else "")
        remedy = f'grant soulbox_writer to "{seen.login}"'
        findings.append(_fail("database-rights", f"{seen.login} lacks {words}", remedy))
    if seen.excess:
        words = ", ".join(seen.excess)
        remedy = "give the operator a login that is a member of soulbox_writer alone"
        findings.append(_warn("database-rights", f"{seen.login} may {words}", remedy))
    return findings or [_ok("database-rights", f"{seen.login} has what it needs, and no more")]


def _database_clock(seen: DatabaseSeen) -> list[Finding]:
    skew = seen.skew_seconds
    if skew is None:
        return []
    if abs(skew) < _SKEW_WARN_SECONDS:
        return [_ok("database-clock", f"within {max(1, round(abs(skew)))} s of the API server's")]
    found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API server's"
    return [_warn("database-clock", found, "set both by NTP: recorded_at is the database's time")]


# Settings


def judge_settings(problem: str, profile: Mapping[str, str]) -> list[Finding]:
    """Args:
    problem: why they were refused; "" if they were not.
    profile: what is worth a word of those in force.
    """
    if problem:
        return [_fail("settings", problem, "docs/reference/configuration.md lists them all")]
    return [_ok("settings", ", ".join(f"{name} {value}" for name, value in profile.items()))]
