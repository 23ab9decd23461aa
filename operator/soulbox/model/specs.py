"""What users and admins ask for, as the inside of SoulBox sees it.

`schema/parse.py` makes these from manifests, and they can be trusted: fields are of the right type,
exactly one of each pair is set, paths stay inside the workspace. What needs a second object to
judge (limits over the class's, unknown language) is not checked here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

# 256 KiB of code and 384 KiB of input in all: with its status an object stays well below
# etcd's 1.5 MiB request limit, and below the 1 MiB that API machinery handles quickly.
MAX_CODE_BYTES: Final = 262_144
MAX_INPUT_BYTES: Final = 393_216
# Globs of one Execution; the runner takes 64.
MAX_CAPTURE_GLOBS: Final = 32
# How often an idempotent Execution is run in all: a program that takes its node along must
# not go round the cluster. A guess.
MAX_ATTEMPTS: Final = 3
# Files of ours in the workspace start with this; a user's file may not.
RESERVED_PATH_PREFIX: Final = ".soulbox-"
DEFAULT_CLASS: Final = "python"


class WorkspaceMedium(StrEnum):
    """Where a sandbox's /workspace lives."""

    DISK = "Disk"  # emptyDir on the node; its limit is looked at every second
    MEMORY = "Memory"  # tmpfs: exact limit, counts as memory


class PodUser(StrEnum):
    """Under which user id a class's pods run."""

    OWN = "Own"  # one of its own for each pod
    PLATFORM = "Platform"  # the platform's, else the image's


class FileEncoding(StrEnum):
    """How `files[].content` is written down."""

    UTF8 = "utf8"
    BASE64 = "base64"


class CodeSource(StrEnum):
    """What `codeFrom` points to."""

    CONFIG_MAP = "ConfigMap"
    SECRET = "Secret"  # must carry the label soulbox.dev/readable: "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvVar:
    """One environment variable of the program."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """One key of a ConfigMap or Secret of the same namespace."""

    source: CodeSource
    name: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvFrom:
    """One environment variable whose value lies in a ConfigMap or Secret."""

    name: str
    value_from: KeySource


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """Ports of one protocol, `port` to `end_port` (None: one port)."""

    port: int
    protocol: str = "TCP"  # or UDP
    end_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsServers:
    """Pods that answer for the cluster's names, and addresses of caches on the nodes."""

    namespace: str = "kube-system"
    pod_labels: Mapping[str, str] = field(default_factory=lambda: {"k8s-app": "kube-dns"})
    # Where NodeLocal DNSCache listens (kubernetes.io, "Using NodeLocal DNSCache").
    cidrs: tuple[str, ...] = ("169.254.20.10/32",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """One thing a sandbox may reach: addresses of a range, or the cluster's DNS."""

    cidr: str | None = None  # exactly one of cidr and dns
    excluded: tuple[str, ...] = ()  # ranges within cidr
    ports: tuple[Port, ...] = ()  # none given: all; with dns 53, UDP and TCP
    dns: bool = False
    dns_servers: DnsServers | None = None  # None: as DnsServers has them


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkProfile:
    """What a sandbox may reach; what is not named it may not."""

    name: str
    egress: tuple[Egress, ...] = ()

    @property
    def has_dns(self) -> bool:
        """Whether the cluster's DNS may be asked."""
        return any(rule.dns for rule in self.egress)


# There in every class: nothing may be reached.
NO_NETWORK: Final = NetworkProfile(name="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A workspace that outlives its Sandbox's pods."""

    size_bytes: int | None = None  # None: as large as resources.disk
    storage_class_name: str | None = None  # None: the cluster's default


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """How a class runs one language: `command + [file with extension] + args`."""

    command: tuple[str, ...]
    extension: str  # with its dot (".py"), or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a pod gets."""

    cpu_millicores: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a Sandbox, or an Execution for a pod of its own, asks for; None takes the class's
    default."""

    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDefaults:
    """What a Sandbox or Execution gets that asks for nothing."""

    limits: Limits
    timeout_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMax:
    """The most a Sandbox or Execution may ask for."""

    limits: Limits
    pids: int  # processes and threads of one run
    timeout_seconds: int
    lifetime_seconds: int
    output_bytes: int  # kept of each stream
    concurrency: int  # Executions at once in one Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """One pod toleration; None leaves the field out of the pod."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxClassSpec:
    """`spec` of a SandboxClass."""

    image: str
    image_pull_policy: str | None  # None: Kubernetes' own rule (by the image's tag)
    interpreters: Mapping[str, Interpreter]  # by language; never empty
    default_language: str  # a key of interpreters
    runtime_class_name: str | None  # None: the cluster's default runtime
    defaults: ClassDefaults
    max: ClassMax
    cpu_request_percent: int  # 1..100 of the CPU limit
    workspace_medium: WorkspaceMedium
    node_selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    sku: str  # price list entry
    env: tuple[EnvVar, ...]
    replace_lost_pods: bool
    log_output: bool = False  # programs' output is copied to the container's log
    network_profiles: tuple[NetworkProfile, ...] = ()
    disk_request_percent: int = 100  # 0..100 of the workspace on the node's disk
    priority_class_name: str | None = None  # None: the cluster's default
    do_not_disrupt: bool = False  # autoscalers leave its nodes alone
    image_pull_secrets: tuple[str, ...] = ()
    pod_user: PodUser = PodUser.OWN
    require_enforcement: bool = False  # no code starts until its network policy is seen to hold

    def profile(self, name: str) -> NetworkProfile | None:
        """The profile of that name, None if the class has none."""
        profiles = (NO_NETWORK, *self.network_profiles)
        return next((one for one in profiles if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """`spec` of a Sandbox."""

    class_name: str = DEFAULT_CLASS
    resources: Resources = field(default_factory=Resources)
    env: tuple[EnvVar | EnvFrom, ...] = ()
    lifetime_seconds: int | None = None  # None: the class's max
    idle_timeout_seconds: int | None = None  # None: it may be idle for as long as it lives
    suspend: bool = False
    workspace: Workspace | None = None  # None: it goes with each pod
    network: str = NO_NETWORK.name  # a profile of the class
    default_timeout_seconds: int | None = None  # None: the class's default
    max_concurrent_executions: int = 1
    user: str | None = None  # None: it is not billed to a named user


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A file written below the workspace before the code starts."""

    path: str  # relative, no "." or ".." segment
    content: str
    encoding: FileEncoding = FileEncoding.UTF8
    mode: int | None = None  # permission bits; None: the runner's choice, by its first bytes


# Where the code lies when it is not in the Execution itself.
CodeFrom = KeySource


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRef:
    """A Function of the same namespace."""

    name: str
    version: str | None = None  # None: its current one


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeMissing:
    """What a spec refers to cannot be read (yet); `message` names object and key."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSpec:
    """`spec` of an Execution; exactly one of each pair of targets and of codes is set, and none
    of them where it calls a Function."""

    function: FunctionRef | None = None

    sandbox_name: str | None = None  # a Sandbox of the same namespace
    class_name: str | None = None  # a pod of its own
    language: str | None = None  # None: the class's default language
    code: str | None = None
    code_from: CodeFrom | None = None
    files: tuple[InputFile, ...] = ()
    args: tuple[str, ...] = ()
    stdin: str | None = None  # None: the input; without one end-of-file at once
    input: str | None = None  # the text of a JSON document; None: there is none
    handler: str | None = None  # a function of the code; None: the code is the program
    env: tuple[EnvVar | EnvFrom, ...] = ()
    resources: Resources = field(default_factory=Resources)  # of its own pod only
    timeout_seconds: int | None = None  # None: the Sandbox's, else the class's default
    queue_timeout_seconds: int | None = None  # from creation; None: waits as long as it takes
    output_limit_bytes: int | None = None  # of each stream; None: the class's max.outputBytes
    capture_files: tuple[str, ...] = ()  # globs over the workspace
    priority: int = 0  # -100..100, the higher goes first
    idempotent: bool = False  # may run again after a loss
    cancel: bool = False
    ttl_seconds_after_finished: int | None = None  # None: kept until somebody deletes it
    user: str | None = None
