"""SandboxClass: what an administrator allows sandboxes to be. Cluster-scoped.

Tenants pick a class by name and never supply a pod spec, a volume, a host path or a
security context.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from soulbox.kinds.sandbox_class.crd_limits import ClassDefaults, ClassMax
from soulbox.kinds.sandbox_class.crd_network import ClassNetwork, NetworkProfile
from soulbox.model.kinds import SANDBOX_CLASS
from soulbox.model.specs import PodUser, WorkspaceMedium
from soulbox.model.states import ClassReason
from soulbox.schema.common import (
    ATOMIC,
    DNS_NAME_PATTERN,
    LANGUAGE_PATTERN,
    MAX_ENV,
    ApiModel,
    Condition,
    EnvVar,
    Message,
    PullPolicy,
    cel,
    list_map,
    validations,
)
from soulbox.schema.crd import AGE, Column, Described


class Interpreter(ApiModel):
    """How one language is run: the command, then the file with the code, then spec.args."""

    command: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1024)]],
        Field(
            min_length=1,
            max_length=32,
            description="Program, looked up in the image's PATH, and its first arguments.",
            json_schema_extra=ATOMIC,
        ),
    ]
    extension: Annotated[
        str,
        Field(
            max_length=16,
            pattern=r"^(\.[A-Za-z0-9_][A-Za-z0-9_.-]*)?$",
            description="Extension of the file with the code, with its dot: .py. Default: none.",
        ),
    ] = ""


class Toleration(ApiModel):
    """A toleration of the class's pods, as in a pod."""

    key: Annotated[
        str | None, Field(max_length=317, description="Taint key; empty matches every key.")
    ] = None
    operator: Annotated[
        Literal["Exists", "Equal"] | None,
        Field(description="How key and value relate. Default: Equal."),
    ] = None
    value: Annotated[
        str | None, Field(max_length=63, description="Taint value, with operator Equal.")
    ] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None,
        Field(description="Taint effect; without it every effect matches."),
    ] = None
    toleration_seconds: Annotated[
        int | None,
        Field(
            description="How long a NoExecute taint is tolerated, in seconds. Default: for ever."
        ),
    ] = None


class SandboxClassSpec(ApiModel):
    """What sandboxes of this class are made of and may use."""

    image: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            pattern=r"^\S+$",
            description=("Container image that holds the interpreters and the soulbox-runner."),
        ),
    ]
    image_pull_policy: Annotated[
        PullPolicy | None,
        Field(
            description=(
                "When the kubelet pulls the image. Default: Kubernetes' rule (Always for :latest,"
                " else IfNotPresent)."
            )
        ),
    ] = None
    interpreters: Annotated[
        dict[str, Interpreter],
        Field(
            min_length=1,
            max_length=32,
            description="How each language is run; the keys are the names that Executions give in"
            " language.",
            json_schema_extra=validations(
                cel(
                    f"self.all(key, size(key) <= 63 && key.matches('{LANGUAGE_PATTERN}'))",
                    "spec.interpreters has a language that no Execution can name: use at most 63"
                    " of a-z, 0-9, '+', '.', '#' and '-', with a letter first",
                )
            ),
        ),
    ]
    default_language: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            description="Language of an Execution that names none; one of interpreters.",
        ),
    ]
    runtime_class_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=253,
            description="RuntimeClass of the pods (gVisor, Kata). Default: the cluster's own.",
        ),
    ] = None
    defaults: Annotated[
        ClassDefaults,
        Field(
            default_factory=ClassDefaults,
            description="What a Sandbox or Execution that asks for nothing gets.",
            json_schema_extra={"default": {}},
        ),
    ]
    max: Annotated[
        ClassMax,
        Field(
            default_factory=ClassMax,
            description="The most a Sandbox or Execution may ask for.",
            json_schema_extra={"default": {}},
        ),
    ]
    cpu_request_percent: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description=(
                "CPU request as a percentage of the limit: how far nodes are overcommitted. The"
                " memory request always equals the limit."
            ),
        ),
    ] = 25
    workspace_medium: Annotated[
        WorkspaceMedium,
        Field(
            description=(
                "Disk: the workspace is on the node's disk, and its limit is checked every second."
                " Memory: tmpfs with an exact limit, which counts as the pod's memory."
            ),
            strict=False,
        ),
    ] = WorkspaceMedium.DISK
    node_selector: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]],
        Field(
            default_factory=dict,
            max_length=32,
            description="Labels a node must have to run these sandboxes.",
        ),
    ]
    tolerations: Annotated[
        list[Toleration],
        Field(
            default_factory=list,
            max_length=32,
            description="Taints that these sandboxes' pods tolerate.",
            json_schema_extra=ATOMIC,
        ),
    ]
    disk_request_percent: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description=(
                "Request of ephemeral storage as a percentage of the workspace on the node's disk:"
                " how far disks are overcommitted. Quotas on requests.ephemeral-storage count it."
            ),
        ),
    ] = 100
    priority_class_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=253,
            pattern=DNS_NAME_PATTERN,
            description="PriorityClass of the pods. Default: the cluster's.",
        ),
    ] = None
    do_not_disrupt: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "true: the pods carry the annotations that keep Cluster Autoscaler and Karpenter"
                " from emptying their node; a node is then kept as long as it has a Sandbox."
            ),
        ),
    ]
    image_pull_secrets: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_NAME_PATTERN)]],
        Field(
            default_factory=list,
            max_length=8,
            description=(
                "Secrets that the kubelet uses to pull the image; each namespace with sandboxes of"
                " this class needs them."
            ),
            json_schema_extra=ATOMIC,
        ),
    ]
    pod_user: Annotated[
        PodUser,
        Field(
            description=(
                "Own: each pod runs under a user id of its own. Platform: the pod names none; the"
                " platform assigns one (OpenShift's SCC), or else the image's USER applies, which"
                " must not be 0."
            ),
            strict=False,
        ),
    ] = PodUser.OWN
    sku: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            pattern=r"^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$",
            description="Entry of the price list under which these sandboxes' seconds are billed.",
        ),
    ] = "standard"
    env: Annotated[
        list[EnvVar],
        Field(
            default_factory=list,
            max_length=MAX_ENV,
            description=(
                "Environment of every program run in this class; the env of a Sandbox or an"
                " Execution overrides it."
            ),
            json_schema_extra=list_map("name"),
        ),
    ]
    network_profiles: Annotated[
        list[NetworkProfile],
        Field(
            default_factory=list,
            max_length=16,
            description=(
                "What Sandboxes may choose in network, besides none, which always exists and"
                " reaches nothing except, on most clusters, ports of its own node. Changes apply"
                " to pods made afterwards."
            ),
            json_schema_extra={
                **list_map("name"),
                **validations(
                    cel(
                        "self.all(p, p.name != 'none')",
                        "spec.networkProfiles has a profile named none, which always exists and"
                        " reaches nothing: choose another name",
                    )
                ),
            },
        ),
    ]
    network: Annotated[
        ClassNetwork,
        Field(
            default_factory=ClassNetwork,
            description="What holds for the network of every pod of the class.",
            json_schema_extra={"default": {}},
        ),
    ]
    log_output: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "Whether what programs write is also copied to the container's log, as JSON lines,"
                " for people who read pod logs."
            ),
        ),
    ]
    replace_lost_pods: Annotated[
        bool,
        Field(
            description=(
                "Whether a Sandbox whose pod was lost gets a new one. If false, the Sandbox"
                " becomes Terminated instead."
            )
        ),
    ] = True


SPEC_RULES = validations(
    cel(
        "self.defaultLanguage in self.interpreters",
        "spec.defaultLanguage is not one of spec.interpreters: add it there or name another",
        field_path=".defaultLanguage",
    ),
    *(
        cel(
            f"!isQuantity(string(self.defaults.{name})) || !isQuantity(string(self.max.{name})) ||"
            f" quantity(string(self.defaults.{name}))"
            f".compareTo(quantity(string(self.max.{name}))) <= 0",
            f"spec.defaults.{name} is more than spec.max.{name}: lower it or raise the maximum",
            field_path=f".defaults.{name}",
        )
        for name in ("memory", "disk")  # cpu: a ValidatingAdmissionPolicy
    ),
    cel(
        "self.defaults.timeoutSeconds <= self.max.timeoutSeconds",
        "spec.defaults.timeoutSeconds is more than spec.max.timeoutSeconds:"
        " lower it or raise the maximum",
        field_path=".defaults.timeoutSeconds",
    ),
    cel(
        "!has(self.network) || !has(self.network.requireEnforcement) ||"
        " !self.network.requireEnforcement || !has(self.networkProfiles) ||"
        " self.networkProfiles.all(p, !has(p.egress) || p.egress.all(e, !has(e.cidr) ||"
        " !e.cidr.endsWith('/0') || (has(e.except) && size(e.except) > 0) ||"
        " (has(e.ports) && size(e.ports) > 0)))",
        "spec.network.requireEnforcement is true, and spec.networkProfiles has a rule that allows"
        " every address and port, so that nothing is forbidden that could be tried: give the rule"
        " an except with the cluster's addresses, or ports",
        field_path=".networkProfiles",
    ),
)


class SandboxClassStatus(ApiModel):
    """Whether sandboxes can be made from it, written by the operator."""

    observed_generation: Annotated[
        int | None, Field(ge=0, description="metadata.generation that this status was made from.")
    ] = None
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=8,
            description="Ready and Stalled, after the kstatus conventions.",
            json_schema_extra=list_map("type"),
        ),
    ]
    reason: Annotated[
        ClassReason | None, Field(description="Why it is Ready, or not, in one word.")
    ] = None
    message: Message | None = None
    sandboxes: Annotated[
        int | None,
        Field(
            ge=0,
            description=(
                "Number of Sandboxes that name it and are not Terminated; at most 30 s behind."
                " Without the class no Execution begins in them. Absent if the operator serves"
                " only some namespaces, since it does not see all Sandboxes."
            ),
        ),
    ] = None


class SandboxClass(ApiModel):
    """A SandboxClass says what sandboxes may be: image, interpreters, limits, price. An
    administrator owns it; tenants pick one by name."""

    spec: Annotated[
        SandboxClassSpec,
        Field(
            description="What sandboxes of this class are made of and may use.",
            json_schema_extra=SPEC_RULES,
        ),
    ]
    status: Annotated[
        SandboxClassStatus | None,
        Field(description="Whether sandboxes can be made from it, written by the operator."),
    ] = None


DESCRIBED: Final = Described(
    SANDBOX_CLASS,
    SandboxClass,
    columns=(
        Column("Image", "string", ".spec.image", "Image of its sandboxes."),
        Column("Language", "string", ".spec.defaultLanguage", "Language if none is named."),
        Column("Runtime", "string", ".spec.runtimeClassName", "RuntimeClass, if any."),
        Column("Status", "string", ".status.reason", "Ready, or why not."),
        Column("Sandboxes", "integer", ".status.sandboxes", "Sandboxes that name it."),
        AGE,
    ),
)
