"""The cluster itself: its version and clock, our rights in it, our CRDs, its admission policies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from soulbox.pure.doctor.finding import SKEW_WARN_SECONDS, Finding, Unseen, fail, ok, unseen, warn

# ValidatingAdmissionPolicy is v1 from 1.30 on.
_OLDEST_KUBERNETES: Final = (1, 30)


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
        return [fail("cluster", seen.why, remedy)]
    found = f"Kubernetes {seen.version} at {seen.server}, {seen.answer_seconds * 1000:.0f} ms"
    digits = "".join(char for char in seen.minor if char.isdigit())
    version = (int(seen.major), int(digits)) if seen.major.isdigit() and digits else (0, 0)
    findings = [ok("cluster", found)]
    if version < _OLDEST_KUBERNETES:
        findings = [fail("cluster", found, "SoulBox needs Kubernetes 1.30 or later: upgrade it")]
    return [*findings, _clock(seen.skew_seconds)]


def _clock(skew: float) -> Finding:
    if abs(skew) < 1:
        return ok("clock", "this machine and the API server agree within a second")
    found = (
        f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API server"
    )
    if abs(skew) < SKEW_WARN_SECONDS:
        return ok("clock", found)
    return warn("clock", found, "set both by NTP (the operator itself uses the API server's time)")


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
    """The account that was asked about, and what it may not do."""

    account: str
    asked: int
    denied: tuple[Right, ...]


def judge_rights(seen: RightsSeen | Unseen) -> list[Finding]:
    """The operator may do all that it must."""
    if isinstance(seen, Unseen):
        return [unseen("rights", seen)]
    if not seen.denied:
        return [ok("rights", f"{seen.account} has all {seen.asked} rights it needs")]
    words = "; ".join(str(right) for right in sorted(seen.denied, key=str)[:5])
    more = f" and {len(seen.denied) - 5} more" if len(seen.denied) > 5 else ""
    remedy = "apply the ClusterRoles, Roles and their bindings of this release's install"
    return [fail("rights", f"{seen.account} may not: {words}{more}", remedy)]


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
    return findings or [ok("crds", f"all {len(seen)} have this release's schema")]


def _crd(crd: CrdSeen) -> Finding | None:
    if not crd.present:
        return fail("crds", f"{crd.name} is not installed", _APPLY_CRDS)
    if not crd.established or not crd.served:
        return fail("crds", f"{crd.name} is there but our version is not served", _APPLY_CRDS)
    if crd.lacking:
        fields = ", ".join(crd.lacking[:3]) + (" …" if len(crd.lacking) > 3 else "")
        found = f"{crd.name} is older than this release: it lacks {fields}"
        return fail("crds", found, _APPLY_CRDS)
    if crd.foreign:
        fields = ", ".join(crd.foreign[:3]) + (" …" if len(crd.foreign) > 3 else "")
        found = f"{crd.name} is newer than this release: it has {fields}"
        return warn("crds", found, "run the operator of the same release as the CRDs")
    if crd.differs:
        found = f"{crd.name} has other bounds or rules than this release"
        return warn("crds", found, _APPLY_CRDS)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionSeen:
    """Names of ValidatingAdmissionPolicies of this release, those that are missing, and
    those that no binding puts in force."""

    wanted: tuple[str, ...]
    missing: tuple[str, ...]
    unbound: tuple[str, ...]


def judge_admission(seen: AdmissionSeen | Unseen) -> list[Finding]:
    """The API server enforces who may bill others and who may touch our pods."""
    if isinstance(seen, Unseen):
        return [unseen("admission", seen)]
    absent = sorted({*seen.missing, *seen.unbound})
    if not absent:
        return [ok("admission", f"{', '.join(seen.wanted)} are in force")]
    found = f"not in force: {', '.join(absent)}; users may bill others, or edit sandbox pods"
    return [fail("admission", found, "apply the admission policies of this release's install")]
