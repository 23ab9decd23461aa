"""The cache of objects, with what the kinds want looked up in it."""

from soulbox.kinds.execution.index import ExecutionIndex
from soulbox.kinds.function.sandboxes import FunctionSandboxes
from soulbox.kinds.pod.index import PodIndex
from soulbox.kinds.sandbox_class.index import ClassUsers
from soulbox.kube.cache import ObjectCache
from soulbox.model.kinds import OURS
from soulbox.model.owners import Owner
from soulbox.model.states import Kind


class Objects(ObjectCache):
    """Last-seen objects and their indexes. For one event loop; not thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self.pods = PodIndex(self)
        self.executions = ExecutionIndex(self)
        self.function_sandboxes = FunctionSandboxes(self)
        self._class_users = {info.kind: ClassUsers(info.kind) for info in OURS if info.uses_class}
        self.follow(Kind.POD, self.pods)
        self.follow(Kind.EXECUTION, self.executions)
        self.follow(Kind.SANDBOX, self.function_sandboxes)
        for kind, users in self._class_users.items():
            self.follow(kind, users)

    def owner_of_pod(self, uid: str) -> Owner | None:
        """Whose the pod of that uid is, None: nobody's that we know."""
        pod = self.get(Kind.POD, uid)
        return None if pod is None else self.pods.owner_of(pod)

    def users_of_class(self, name: str) -> list[tuple[Kind, str]]:
        """Sandboxes and unfinished one-shot Executions of a class, as (kind, uid)."""
        return sorted(user for users in self._class_users.values() for user in users.of(name))
