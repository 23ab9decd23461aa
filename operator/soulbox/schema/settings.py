"""The operator's settings; load_settings.py is the way in.

Every field states its unit, what leaving it out means and the reason for its default;
docs/reference/configuration.md is made from them.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from soulbox.model.errors import ConfigError
from soulbox.model.retention import RetentionPolicy
from soulbox.schema.files import read_text

ENV_PREFIX: Final = "SOULBOX_"
# What a profile sets unless something else does. "development" is the defaults themselves: a trial
# on one machine.
PROFILES: Final[Mapping[str, Mapping[str, object]]] = {
    "development": {},
    "production": {
        # For bursts of saved outputs, queries and exports at once. Raise PostgreSQL's
        # max_connections with it; doctor compares the two.
        "pool_max_size": 50,
        # So that no batch waits for a TLS handshake.
        "pool_min_size": 4,
    },
}
_LEASE: Final = "soulbox-operator"
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_IDENTITY: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Settings(BaseSettings):
    """All settings of the operator. Immutable once loaded."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    profile: Literal["development", "production"] = Field(
        default="development",
        description="Which defaults apply where nothing else is set; the table below lists the"
        " differences. development: a trial on one machine.",
    )

    # PostgreSQL
    dsn: SecretStr | None = Field(
        default=None,
        description="PostgreSQL to mirror into: a URL or key=value string as libpq accepts it."
        " Exactly one of dsn and dsn_file must be set.",
    )
    dsn_file: Path | None = Field(
        default=None,
        description="File that holds the DSN and nothing else, so that it can come from a mounted"
        " Secret and never appears in a process list.",
    )
    dsn_read: SecretStr | None = Field(
        default=None,
        description="A replica that `soulbox query` asks first; each answer reports how far behind"
        " it is. If it is unset, unreachable or too far behind, the primary is asked.",
    )
    read_max_lag_seconds: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="A replica further behind than this is skipped, in seconds. A minute: reports"
        " look back over hours.",
    )
    pool_min_size: int = Field(
        default=1,
        ge=0,
        le=100,
        description="Connections kept open. One: the mirror writes all the time, the rest rarely.",
    )
    pool_max_size: int = Field(
        default=10,
        ge=1,
        le=100,
        description="Most connections. Ten: a tenth of PostgreSQL's own default of 100.",
    )
    connect_timeout_seconds: float = Field(
        default=5,
        ge=1,
        le=300,
        description="Longest time to connect to PostgreSQL, in seconds. Five: a lost packet is"
        " resent after 1 and 3 s.",
    )
    statement_timeout_seconds: float = Field(
        default=30,
        gt=0,
        le=3600,
        description="Longest time of one statement, in seconds. A batch takes milliseconds; a"
        " database that needs 30 s has a problem.",
    )

    # Kubernetes
    operator_namespace: str = Field(
        default="soulbox-system",
        description="Namespace of the operator, which holds its signing key.",
    )
    watch_namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Namespaces to serve, separated by commas in the environment. Empty: all.",
    )
    kubeconfig: Path | None = Field(
        default=None,
        description="kubeconfig to use. Unset: KUBECONFIG, then ~/.kube/config, then the pod's"
        " ServiceAccount.",
    )
    api_timeout_seconds: float = Field(
        default=30,
        gt=0,
        le=600,
        description="Longest time of one call to the API server, except watches, in seconds. The"
        " API server itself gives up after 60.",
    )
    watch_stale_seconds: float = Field(
        default=700,
        ge=10,
        le=86_400,
        description="Liveness fails when no watch has delivered anything for this plus"
        " repair_period_seconds, in seconds. More than the 660 s after which a healthy watch is"
        " reopened.",
    )

    # Leader election
    leader_elect: bool = Field(
        default=True,
        description="Work only while holding a Lease in the operator's namespace, so that"
        " several replicas can stand by. False: this is the only operator, and it starts at once.",
    )
    lease_name: str | None = Field(
        default=None,
        description="Name of the Lease. Unset: `soulbox-operator`, with a hash of"
        " watch_namespaces if there are any, so that operators of different namespaces do not"
        " wait for each other.",
    )
    lease_identity: str | None = Field(
        default=None,
        description="Identity of this process in the Lease. Unset: the host's name, which is the"
        " pod's, and a random number. A process takes over at once from an earlier one with the"
        " same identity, which must be dead: set it only if that is certain.",
    )
    lease_duration_seconds: int = Field(
        default=15,
        ge=3,
        le=3600,
        description="How long after a leader's last sign of life another takes over, in seconds."
        " 15: the default of Kubernetes' own controllers.",
    )
    lease_renew_deadline_seconds: float = Field(
        default=10,
        ge=1,
        le=3600,
        description="How long after its last renewal a leader stops writing to the cluster until"
        " it has renewed again, in seconds. A third below lease_duration_seconds, as room for"
        " requests that are on their way.",
    )
    lease_renew_seconds: float = Field(
        default=2,
        gt=0,
        le=600,
        description="Time between two renewals, in seconds. Two: four may fail before the"
        " deadline; each is one small write.",
    )

    # Work
    workers: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="Objects reconciled at once. Most of the time they wait for answers; 64 is a"
        " guess.",
    )
    run_poll_seconds: float = Field(
        default=30,
        ge=1,
        le=60,
        description="How long one request for a run's end stays open at its runner, in seconds. At"
        " most 60, the runner's own limit.",
    )
    sandbox_not_found_seconds: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="How long an Execution waits for a Sandbox that does not exist, in seconds;"
        " GitOps tools apply objects in any order.",
    )
    enforcement_wait_seconds: float = Field(
        default=30,
        ge=1,
        le=50,
        description="How long a pod whose class has network.requireEnforcement may take until its"
        " NetworkPolicy is seen in force, in seconds; then it is given up. Network plugins take a"
        " second or two. At most 50: a pod that lived for a minute counts as a healthy one.",
    )

    # Mirror
    mirror_flush_seconds: float = Field(
        default=0.2,
        gt=0,
        le=60,
        description="Longest time that an object waits for its batch, in seconds: how far SQL is"
        " behind.",
    )
    mirror_batch_rows: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Most objects in one transaction. A row that PostgreSQL refuses is found by"
        " halving the batch, which costs more for larger batches.",
    )
    mirror_capacity_objects: int = Field(
        default=50_000,
        ge=100,
        le=10_000_000,
        description="Most objects that wait in memory while PostgreSQL is unavailable. Further"
        " ones are not lost: they are listed again when it is back.",
    )
    repair_period_seconds: float = Field(
        default=600,
        ge=10,
        le=86_400,
        description="Time between two comparisons of cluster and database, in seconds.",
    )
    record_deadline_seconds: float = Field(
        default=600,
        ge=1,
        le=86_400,
        description="How long a deleted object waits for PostgreSQL, in seconds. Then its last"
        " version is written to spool_directory and the object is removed; without that setting it"
        " stays, and an Event says so. Ten minutes: longer than a failover, a restart or an"
        " upgrade of PostgreSQL.",
    )
    spool_directory: Path | None = Field(
        default=None,
        description="Directory, on a volume that outlives the operator, for deleted objects that"
        " have waited too long for PostgreSQL; they are written to it once it is back. Unset: they"
        " stay in the cluster.",
    )

    # Retention: whole partitions are dropped, so rows live up to one partition longer.
    retain_metrics_days: int = Field(
        default=30,
        ge=1,
        le=36_500,
        description="Days that resource figures over time are kept; a partition is a day.",
    )
    retain_outputs_days: int = Field(
        default=30,
        ge=1,
        le=36_500,
        description="Days that whole outputs and captured files are kept; a partition is a month."
        " What the status shows of an output is kept with its Execution.",
    )
    retain_logs_days: int = Field(
        default=30,
        ge=1,
        le=36_500,
        description="Days that lines of the logs of Functions are kept; a partition is a month.",
    )
    retain_executions_months: int = Field(
        default=13,
        ge=1,
        le=1_200,
        description="Months that rows of Executions are kept: a year and the current month. The"
        " ledger is kept for ever.",
    )

    # Resource figures
    sample_interval_seconds: float = Field(
        default=15,
        ge=0,
        le=3600,
        description="Time between two samples of what each Sandbox uses, in seconds; 0 turns"
        " sampling off. 15: metrics-server's own default; 200 Sandboxes then cost a few per cent"
        " of a core.",
    )
    sample_capacity_rows: int = Field(
        default=20_000,
        ge=100,
        le=1_000_000,
        description="Most samples that wait in memory while PostgreSQL is unavailable; beyond that"
        " the oldest are dropped and counted. 20,000: 25 minutes of 200 Sandboxes, about 20 MB.",
    )

    # Process
    http_listen: str = Field(
        default="127.0.0.1:8080",
        description="host:port of /healthz, /readyz and /metrics. Loopback by default; the chart"
        " listens on all addresses of the pod.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least important level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="json: one record a line, for collectors. console: for people."
    )

    @field_validator("watch_namespaces", mode="before")
    @classmethod
    def _split_namespaces(cls, value: object) -> object:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        return tuple(value) if isinstance(value, list) else value

    @field_validator("watch_namespaces")
    @classmethod
    def _check_namespaces(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _NAMESPACE.fullmatch(name):
                raise ValueError(f"{name[:63]!r} cannot be the name of a namespace")
        return value

    @field_validator("sample_interval_seconds")
    @classmethod
    def _check_interval(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError("at least 1 second, or 0 for none")
        return value

    @field_validator("operator_namespace")
    @classmethod
    def _check_operator_namespace(cls, value: str) -> str:
        if not _NAMESPACE.fullmatch(value):
            raise ValueError("cannot be the name of a namespace")
        return value

    @field_validator("lease_name")
    @classmethod
    def _check_lease_name(cls, value: str | None) -> str | None:
        if value is not None and not _OBJECT_NAME.fullmatch(value):
            raise ValueError("cannot be the name of an object: small letters, digits, - and .")
        return value

    @field_validator("lease_identity")
    @classmethod
    def _check_lease_identity(cls, value: str | None) -> str | None:
        if value is not None and not _IDENTITY.fullmatch(value):
            raise ValueError("1 to 128 letters, digits, dots, dashes and underscores")
        return value

    @field_validator("http_listen")
    @classmethod
    def _check_listen(cls, value: str) -> str:
        host, separator, port = value.rpartition(":")
        if not host or not separator or not port.isascii() or not port.isdigit():
            raise ValueError("write it as host:port, for example 127.0.0.1:8080")
        if int(port) > 65_535:
            raise ValueError("the port is at most 65535")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.dsn is None and self.dsn_file is None:
            raise ValueError(
                "no database is set: give SOULBOX_DSN or SOULBOX_DSN_FILE (`make up` starts a"
                " PostgreSQL for a trial and sets it)"
            )
        if self.dsn is not None and self.dsn_file is not None:
            raise ValueError("only one of dsn and dsn_file can be set: remove the other")
        if self.pool_min_size > self.pool_max_size:
            raise ValueError("pool_min_size is more than pool_max_size: lower it")
        if self.lease_renew_deadline_seconds > self.lease_duration_seconds - 1:
            raise ValueError(
                "lease_renew_deadline_seconds must be at least a second less than"
                " lease_duration_seconds: a leader must stop writing before another takes over"
            )
        if self.lease_renew_seconds > self.lease_renew_deadline_seconds / 2:
            raise ValueError(
                "lease_renew_seconds is over half of lease_renew_deadline_seconds: one lost"
                " renewal would silence the leader; lower it"
            )
        return self

    @property
    def retention(self) -> RetentionPolicy:
        """How long rows are kept."""
        return RetentionPolicy(
            metrics_days=self.retain_metrics_days,
            outputs_days=self.retain_outputs_days,
            logs_days=self.retain_logs_days,
            executions_months=self.retain_executions_months,
        )

    @property
    def lease(self) -> str:
        """Name of the Lease. Operators of the same namespaces use the same one, in whatever order
        the namespaces are named."""
        if self.lease_name is not None:
            return self.lease_name
        if not self.watch_namespaces:
            return _LEASE
        scope = ",".join(sorted(set(self.watch_namespaces)))
        # The chart computes the same, for the Role (templates/rbac.yaml).
        return f"{_LEASE}-{hashlib.sha256(scope.encode()).hexdigest()[:10]}"

    @property
    def http_host(self) -> str:
        """Address to listen on, without brackets."""
        return self.http_listen.rpartition(":")[0].strip("[]")

    @property
    def http_port(self) -> int:
        """Port to listen on; 0 takes a free one."""
        return int(self.http_listen.rpartition(":")[2])

    @property
    def database_url(self) -> SecretStr:
        """The DSN, read from its file if it is in one.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if self.dsn is not None:
            return self.dsn
        assert self.dsn_file is not None, "checked together"
        text = read_text(self.dsn_file, "dsn_file (SOULBOX_DSN_FILE)").strip()
        if not text:
            raise ConfigError(f"dsn_file (SOULBOX_DSN_FILE): {self.dsn_file} is empty")
        return SecretStr(text)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments: `load_settings` merges file, environment and flags, and
        `Settings(...)` in a test reads nothing else."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)
