"""Names we write on Kubernetes objects: labels, annotations, finalizers, field manager.

They are public (people select on them) and for ever; docs/reference/labels.md lists them.
"""

from typing import Final

GROUP: Final = "soulbox.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FIELD_MANAGER: Final = "soulbox-operator"
CLI_FIELD_MANAGER: Final = "soulbox-cli"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "soulbox"

# Finalizer on Sandboxes, Executions and every pod of ours: the object stays until its
# final rows are committed in PostgreSQL.
RECORDED_FINALIZER: Final = f"{GROUP}/recorded"

# "<podUID>/<attempt>", put on an Execution right before the runner is asked to start it:
# what a restarted operator reads to know whether code may have run.
DISPATCHED_ANNOTATION: Final = f"{GROUP}/dispatched"
# In the same patch: under what terms it is run, as JSON (kinds/execution/receipt.py).
TERMS_ANNOTATION: Final = f"{GROUP}/terms"
# UID of the Sandbox an Execution was dispatched to (label on Executions and pods).
SANDBOX_UID_LABEL: Final = f"{GROUP}/sandbox-uid"
# UID of the Function that an Execution calls, or a ControllerRevision is of (label on both).
FUNCTION_UID_LABEL: Final = f"{GROUP}/function-uid"
# Name of the Function, and version, that a ControllerRevision holds (labels on it).
FUNCTION_LABEL: Final = f"{GROUP}/function"
VERSION_LABEL: Final = f"{GROUP}/version"
# On an Execution: name of the ControllerRevision of the version that it calls.
REVISION_ANNOTATION: Final = f"{GROUP}/revision"
# On an Execution that calls a Function: name of the Function's Sandbox that it was handed to.
SANDBOX_ANNOTATION: Final = f"{GROUP}/sandbox"
# UID of the Execution that owns a one-shot pod (label on pods).
EXECUTION_UID_LABEL: Final = f"{GROUP}/execution-uid"
# Which life of its owner a pod is, counted from 1 (label on pods).
INCARNATION_LABEL: Final = f"{GROUP}/incarnation"
CLASS_LABEL: Final = f"{GROUP}/class"
# What billing needs of a pod, stamped at creation (annotations on pods).
SKU_ANNOTATION: Final = f"{GROUP}/sku"
USER_ANNOTATION: Final = f"{GROUP}/user"
# What is billed where somebody took the limits off the pod: "cpu=250m,memory=256Mi".
LIMITS_ANNOTATION: Final = f"{GROUP}/limits"
OWNER_NAME_ANNOTATION: Final = f"{GROUP}/owner-name"
SIGNING_KEY_ANNOTATION: Final = f"{GROUP}/signing-key-id"
# What lies at /etc/passwd and /etc/group of a pod (annotations on pods).
PASSWD_ANNOTATION: Final = f"{GROUP}/passwd"
GROUP_ANNOTATION: Final = f"{GROUP}/group"
# On a pod whose node was lost: the last renewTime of its node's Lease (RFC 3339), written
# once; billing takes it as the end of the pod.
LOST_TIME_ANNOTATION: Final = f"{GROUP}/lost-time"
# On an Execution with codeFrom: SHA-256 (hex) of the code it ran, all that is mirrored of it.
CODE_SHA256_ANNOTATION: Final = f"{GROUP}/code-sha256"
# On an Execution: SHA-256 (hex) of each key whose holder may read its output live, separated by
# commas. It can be set with the right to write the Execution; `soulbox run` does so.
OUTPUT_KEYS_ANNOTATION: Final = f"{GROUP}/output-keys-sha256"
# On a Namespace: the tenant its objects are billed to; without it the namespace's name.
TENANT_LABEL: Final = f"{GROUP}/tenant"
# On a Secret: "true" lets Executions of its namespace read it.
READABLE_LABEL: Final = f"{GROUP}/readable"
NETWORK_PROFILE_LABEL: Final = f"{GROUP}/network-profile"
# Argo CD would call a finished restartPolicy Never pod degraded.
ARGOCD_IGNORE_ANNOTATION: Final = "argocd.argoproj.io/ignore-restart-policy"

RUNNER_CONTAINER: Final = "runner"
RUNNER_PORT: Final = 8478
SIGNING_KEY_SECRET: Final = "soulbox-signing-key"
