"""Errors of SoulBox. The first split is what the caller must do. ::

SoulBoxError
├── Retryable            try again later (delay_seconds)
│   ├── KubeUnavailable  API server: 429, 5xx, connection
│   ├── KubeConflict     409 on an update: observe again
│   ├── NotLeader        this process may not write to the cluster (now, or any more)
│   ├── StoreUnavailable PostgreSQL: connection, read-only, full
│   │   └── StoreConflict it lost against another transaction
│   ├── SpoolUnavailable the spool volume: full, read-only, gone
│   ├── RunnerUnavailable the pod's runner does not answer
│   └── JudgeUnavailable the judge's process gives no answer, and nobody asked is to blame
├── Terminal             trying again cannot help
│   ├── KubeRefused      API server: 400, 403, 413, 422
│   ├── KubeNotFound     404
│   ├── KubeExists       409 on a create
│   ├── StoreRefused     PostgreSQL refused the data or the statement
│   │   └── AlreadyExists a row with that key is there
│   ├── NotFound         there is no such row
│   ├── InvalidRequest   what was asked for makes no sense: a filter, a cursor
│   │   └── CursorExpired the cursor is of before a restore
│   ├── LeaderLost       another operator leads: this one must end
│   ├── RunnerRefused    the runner said no
│   ├── HostileReply     the runner's reply broke the contract
│   ├── CommandError     what a person asked a command for cannot be done
│   └── InvalidManifest  a stored object the operator cannot act on
└── ConfigError          wrong settings; one clear line and exit code 2
"""


class SoulBoxError(Exception):
    """Root of all errors raised on purpose by SoulBox."""


class Retryable(SoulBoxError):
    """The same call may work later; nobody has to act.

    Args:
        delay_seconds: at least this long before the next try; None means the caller's
            own back-off.
    """

    def __init__(self, message: str, *, delay_seconds: float | None = None) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds


class Terminal(SoulBoxError):
    """The same call will fail again; the object or the installation must change."""


class ConfigError(SoulBoxError):
    """The installation is wrong: its administrator must act. Exit code 2."""


class KubeUnavailable(Retryable):
    """The API server cannot answer now (429, 5xx, time-out, connection)."""

    def __init__(
        self, message: str, *, status: int | None = None, delay_seconds: float | None = None
    ) -> None:
        super().__init__(message, delay_seconds=delay_seconds)
        self.status = status


class KubeConflict(Retryable):
    """The object changed since it was read (409): observe again, then decide again."""


class NotLeader(Retryable):
    """Not sent: this process does not hold its Lease, or has not renewed it in time, so that
    another operator may be at work. It either learns that it still leads, or ends."""


class LeaderLost(Terminal):
    """Another operator has taken the Lease: this process must end. What it knew is not
    lost: the other reads it from the API server and the runners."""


class KubeNotFound(Terminal):
    """The object is not there (404)."""


class KubeExists(Terminal):
    """An object of that name is there already (409 AlreadyExists)."""


class KubeRefused(Terminal):
    """The API server refused the request (400, 401, 403, 413, 422).

    Attributes:
        status: HTTP status.
        reason: the Status object's reason, for example "Forbidden" or "Invalid".
        message: the API server's own words.
        causes: reasons of the Status object's causes, for example "NamespaceTerminating".
    """

    def __init__(
        self, status: int, reason: str, message: str, causes: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(f"API server refused ({status} {reason}): {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes


class StoreUnavailable(Retryable):
    """PostgreSQL cannot be used now (connection, read-only, full, shutting down).

    Attributes:
        sqlstate: five characters, None when no connection was made.
    """

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class StoreRefused(Terminal):
    """PostgreSQL refused the data (constraint, type, size) or the statement.

    Attributes:
        sqlstate: five characters.
        constraint: the violated constraint's name, None if it was another refusal.
    """

    def __init__(
        self, message: str, *, sqlstate: str | None = None, constraint: str | None = None
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.constraint = constraint


class StoreConflict(StoreUnavailable):
    """The transaction lost against another (serialization, deadlock): run it again."""


class SpoolUnavailable(Retryable):
    """The spool volume cannot be written or read (full, read-only, gone): what was to be
    kept there stays in the cluster. The administrator must fix it."""


class AlreadyExists(StoreRefused):
    """A row with that key is there already."""


class NotFound(Terminal):
    """There is no such row, or none that this login may see."""


class InvalidRequest(Terminal):
    """The request makes no sense; the caller must change it.

    Attributes:
        field: which part of the request.
        words: the problem, and its remedy.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.words = (problem, remedy)


class CursorExpired(InvalidRequest):
    """The cursor was given out before this database was restored from a backup: what came after it
    can no longer be determined. Start without one."""


class RunnerUnavailable(Retryable):
    """The runner did not answer (connection, time-out): its pod may be starting or gone.

    Attributes:
        reached: the call got through to the pod: nothing, or nothing of use, came back.
    """

    def __init__(self, message: str, *, reached: bool = False) -> None:
        super().__init__(message)
        self.reached = reached


class JudgeUnavailable(Retryable):
    """The process that judges schemas and expressions gave no answer, through no fault of what it
    was asked: it cannot be started, was killed from outside, or too much waits for it."""


class RunnerRefused(Terminal):
    """The runner answered no.

    Attributes:
        status: HTTP status.
        code: the reply's error code ("Busy", "Conflict", "Released", …).
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"runner refused ({status} {code}): {message}")
        self.status = status
        self.code = code
        self.message = message


class HostileReply(Terminal):
    """The runner's reply broke the contract (size, shape, identity): the sandbox is not
    to be believed, what it said is dropped."""


class CommandError(Terminal):
    """A command cannot do what it was asked: the text says why and what to do."""


class InvalidManifest(Terminal):
    """A stored object says something the operator cannot act on: an older schema, an
    absurd value. Its owner must change it.

    Attributes:
        field: path in the object ("spec.files[2].path").
        problem: what is wrong with it; never the value itself.
        remedy: what to do.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy
