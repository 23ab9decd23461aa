"""NetworkPolicies, enforced on the local node.

The first packet of each connection from or to a pod goes to a queue in user space, where
kube-network-policies judges it by the policies of both pods; what follows passes unseen. The
queue is reached by iptables, since few kernels have nft's own queue (CONFIG_NFT_QUEUE). A
process that ends, or was never started, leaves the queue closed.

A pod's address appears in the API half a second after its first process. Until then nobody can
tell which policies hold for it, so a gate (an nftables table with a set of the addresses that
the API has told) drops its new connections, to itself as well as from itself.

The operator and the kubelet are processes of this machine's root, which reaches every pod.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from hack.cluster import packages, pki, processes
from hack.cluster.config import BRIDGE, NODE_POD_RANGE, RUN_DIR, Paths
from hack.cluster.console import run, step, succeeds

GATE_TABLE = "soulbox-gate"
GATE_SET = "known"
CHAIN = "SOULBOX-POLICIES"
_TRIAL_CHAIN = f"{CHAIN}-TRIAL"
QUEUE = 100
_TO_QUEUE = ("-j", "NFQUEUE", "--queue-num", str(QUEUE))
METRICS = "127.0.0.1:9080"
_QUEUES = Path("/proc/net/netfilter/nfnetlink_queue")
# One word for each table that was made: the set in a new one is empty, and must be filled.
_GATE_MADE = RUN_DIR / "gate"
# Packets between two pods of one bridge pass the rules of IP only with this.
_BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


def _rules() -> list[list[str]]:
    """What hands new connections to the queue, in order."""
    pods = NODE_POD_RANGE
    return [
        [CHAIN, "-m", "conntrack", "!", "--ctstate", "NEW", "-j", "RETURN"],
        [CHAIN, "-s", pods, *_TO_QUEUE],
        [CHAIN, "-d", pods, *_TO_QUEUE],
        # Not in the chain itself: INPUT calls it too, where no packet has an owner.
        ["POSTROUTING", "-o", BRIDGE, "-m", "owner", "--uid-owner", "0", "-j", "ACCEPT"],
        ["POSTROUTING", "-j", CHAIN],
        # A pod that speaks to the node's own addresses.
        ["INPUT", "-j", CHAIN],
    ]


def _gate() -> str:
    """The gate's table. Pods have IPv4 addresses only; the bridge has a link-local IPv6 one,
    by which they would reach each other and the API server past every policy."""
    return f"""
table inet {GATE_TABLE}
delete table inet {GATE_TABLE}
table inet {GATE_TABLE} {{
    set {GATE_SET} {{ type ipv4_addr; }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        meta nfproto ipv6 iifname "{BRIDGE}" drop
        ct state established,related accept
        ip saddr {NODE_POD_RANGE} ip saddr != @{GATE_SET} drop
        ip daddr {NODE_POD_RANGE} ip daddr != @{GATE_SET} drop
    }}
    chain input {{
        type filter hook input priority filter; policy accept;
        meta nfproto ipv6 iifname "{BRIDGE}" drop
        ct state established,related accept
        iifname "{BRIDGE}" ip saddr != @{GATE_SET} drop
    }}
}}
"""


def _iptables(*words: str) -> list[str]:
    return [packages.find_program("iptables") or "iptables", "--wait", "--table", "mangle", *words]


def is_available() -> bool:
    """Whether this kernel can hand packets to user space; says so once if not."""
    sees_bridges = _BRIDGE_FILTER.exists() or succeeds(["modprobe", "br_netfilter"])
    if sees_bridges and _has_queue():
        return True
    step("this kernel has no NFQUEUE or no br_netfilter: nothing enforces NetworkPolicies here")
    return False


def _has_queue() -> bool:
    """Tried in a chain of its own: what an `up` left that was killed proves nothing."""
    _drop_chain(_TRIAL_CHAIN)
    run(_iptables("--new-chain", _TRIAL_CHAIN))
    try:
        return succeeds(_iptables("--append", _TRIAL_CHAIN, *_TO_QUEUE))
    finally:
        _drop_chain(_TRIAL_CHAIN)


def _drop_chain(name: str) -> None:
    """What is not there is no failure."""
    succeeds(_iptables("--flush", name))
    succeeds(_iptables("--delete-chain", name))


def ensure_walls() -> None:
    """Close the gate and the queue; called before anything can run in a pod."""
    _BRIDGE_FILTER.write_text("1")
    if not succeeds(_iptables("--list-rules", CHAIN)):
        run(_iptables("--new-chain", CHAIN))
    for rule in _rules():
        if not succeeds(_iptables("--check", *rule)):
            run(_iptables("--append", *rule))
    if not (_GATE_MADE.exists() and succeeds(["nft", "list", "table", "inet", GATE_TABLE])):
        run(["nft", "-f", "-"], stdin=_gate())
        _GATE_MADE.write_text(secrets.token_hex(8))


def start(paths: Paths, programs: Path, node: str) -> processes.Record:
    """Start the judge; the API server must be ready. Returns when packets are judged."""
    record = processes.ensure(
        "kube-network-policies",
        [
            programs / "kube-network-policies",
            # It reads pods, namespaces and policies, as root of the machine that has the CA's key.
            f"--kubeconfig={pki.component_kubeconfig('admin')}",
            f"--hostname-override={node}",
            f"--metrics-bind-address={METRICS}",
            f"--nfqueue-id={QUEUE}",
            f"--gate-table={GATE_TABLE}",
            f"--gate-set={GATE_SET}",
        ],
        log=paths.logs / "kube-network-policies.log",
        fingerprint=_GATE_MADE.read_text(),
    )
    processes.wait_until("judge of NetworkPolicies", _is_bound, seconds=30, needs=[record])
    return record


def _is_bound() -> bool:
    lines = _QUEUES.read_text().splitlines() if _QUEUES.exists() else []
    return any(line.split()[:1] == [str(QUEUE)] for line in lines)


def remove() -> None:
    """Take the rules and the gate back; what is gone already is no failure."""
    for rule in reversed(_rules()):
        succeeds(_iptables("--delete", *rule))
    _drop_chain(CHAIN)
    succeeds(["nft", "delete", "table", "inet", GATE_TABLE])
    _GATE_MADE.unlink(missing_ok=True)
