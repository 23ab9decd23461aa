"""The machine's side of the pod network: an address, two routes, a firewall, a CNI file.

Order matters: the blackhole routes come before anything that could send to a pod or service
address, so that no such packet ever takes the machine's default route.
"""

from __future__ import annotations

import json
from pathlib import Path

from hack.cluster.config import (
    API_PORT,
    BRIDGE,
    DATA_DIR,
    NODE_ADDRESS,
    NODE_POD_RANGE,
    POD_RANGE,
    RUN_DIR,
    SERVICE_RANGE,
    write_if_new,
)
from hack.cluster.console import run, succeeds

CNI_CONFIG = DATA_DIR / "cni"
_CNI_DATA = RUN_DIR / "cni"
_SAVED = RUN_DIR / "sysctls.json"
FIREWALL_TABLE = "soulbox-local"

# The kubelet, kube-proxy and the bridge plugin set these; `down` puts the old values back.
_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/vs/conntrack",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/bridge/bridge-nf-call-iptables",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def _address_is_there() -> bool:
    listed = json.loads(run(["ip", "-j", "-4", "address", "show", "dev", "lo"]))
    return any(
        address.get("local") == NODE_ADDRESS
        for link in listed
        for address in link.get("addr_info", ())
    )


def ensure() -> None:
    """Bring the machine into the state the node needs; nothing changes if it is there."""
    _save_sysctls()
    if not _address_is_there():
        run(["ip", "address", "add", f"{NODE_ADDRESS}/32", "dev", "lo"])
    for network in (POD_RANGE, SERVICE_RANGE):
        run(["ip", "route", "replace", "blackhole", network])
    run(["nft", "-f", "-"], stdin=_firewall())
    _write_cni_config()


def _firewall() -> str:
    """Only this machine and its pods reach the API server, which listens on every address."""
    return f"""
table inet {FIREWALL_TABLE}
delete table inet {FIREWALL_TABLE}
table inet {FIREWALL_TABLE} {{
    chain input {{
        type filter hook input priority filter; policy accept;
        tcp dport {API_PORT} iifname != {{ "lo", "{BRIDGE}" }} drop
    }}
}}
"""


def _write_cni_config() -> None:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,  # a pod reaches itself through its own service
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(_CNI_DATA),
            "ranges": [[{"subnet": NODE_POD_RANGE}]],
            # No default route: a pod reaches its neighbours, services and the node only.
            "routes": [{"dst": SERVICE_RANGE}, {"dst": f"{NODE_ADDRESS}/32"}],
        },
    }
    network = {"cniVersion": "0.4.0", "name": "soulbox", "plugins": [bridge]}
    write_if_new(CNI_CONFIG / "10-soulbox.conflist", json.dumps(network, indent=2))


def _save_sysctls() -> None:
    if _SAVED.exists():
        return
    values = {}
    for name in _SYSCTLS:
        file = Path("/proc/sys") / name
        if file.exists():
            values[name] = file.read_text().strip()
    _SAVED.write_text(json.dumps(values))


def _restore_sysctls() -> None:
    if not _SAVED.exists():
        return
    for name, value in json.loads(_SAVED.read_text()).items():
        file = Path("/proc/sys") / name
        if file.exists() and file.read_text().strip() != value:
            file.write_text(value)


def remove() -> None:
    """Take everything back; what is gone already is no failure."""
    succeeds(["ip", "link", "delete", BRIDGE])
    for network in (POD_RANGE, SERVICE_RANGE):
        succeeds(["ip", "route", "delete", "blackhole", network])
    succeeds(["ip", "address", "delete", f"{NODE_ADDRESS}/32", "dev", "lo"])
    succeeds(["nft", "delete", "table", "inet", FIREWALL_TABLE])
    forget_services()
    _restore_sysctls()


def forget_services() -> None:
    """Take back what kube-proxy wrote; it must not run."""
    for family in ("ip", "ip6"):
        succeeds(["nft", "delete", "table", family, "kube-proxy"])
