"""The operator's settings: defaults, then a YAML file, then the environment, then flags;
the later wins.

`load_settings` is the only way in. Every field says its unit, what leaving it out means
and why its default is what it is; docs/reference/configuration.md is made from them.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from soulbox.model.errors import ConfigError

ENV_PREFIX: Final = "SOULBOX_"
# A config file is a page of text; more is a wrong path.
_MAX_FILE_BYTES: Final = 1_048_576
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Settings(BaseSettings):
    """Everything that can be set about the operator. Immutable once loaded."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    # PostgreSQL
    dsn: SecretStr | None = Field(
        default=None,
        description="PostgreSQL to mirror into: a URL or key=value string as libpq takes it."
        " Exactly one of dsn and dsn_file must be set.",
    )
    dsn_file: Path | None = Field(
        default=None,
        description="File that holds the DSN and nothing else, so that it can come from a mounted"
        " Secret and never stands in a process list.",
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
        " sent again after 1 and 3 s.",
    )
    statement_timeout_seconds: float = Field(
        default=30,
        gt=0,
        le=3600,
        description="Longest time of one statement, in seconds. A batch takes milliseconds; a"
        " database that needs 30 s is ill.",
    )

    # Kubernetes
    operator_namespace: str = Field(
        default="soulbox-system",
        description="Namespace of the operator: its signing key lives there.",
    )
    watch_namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Namespaces to serve, separated by commas in the environment. Empty: all.",
    )
    kubeconfig: Path | None = Field(
        default=None,
        description="kubeconfig to use. Unset: KUBECONFIG, else ~/.kube/config, else the pod's"
        " ServiceAccount.",
    )
    api_timeout_seconds: float = Field(
        default=30,
        gt=0,
        le=600,
        description="Longest time of one call to the API server, watches apart, in seconds. The"
        " API server itself gives up after 60.",
    )
    watch_stale_seconds: float = Field(
        default=700,
        ge=10,
        le=86_400,
        description="A watch that said nothing for so long, in seconds, counts as broken and"
        " liveness fails. Above the 660 s after which a healthy one is opened again.",
    )

    # Work
    workers: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="Objects reconciled at once. They wait for answers most of the time; 64 is"
        " a guess.",
    )
    run_poll_seconds: float = Field(
        default=30,
        ge=1,
        le=60,
        description="How long one question for a run's end stays open at its runner, in seconds."
        " At most 60, the runner's own bound.",
    )
    sandbox_not_found_seconds: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="How long an Execution waits for a Sandbox that does not exist, in seconds;"
        " GitOps tools apply objects in any order.",
    )

    # Mirror
    mirror_flush_seconds: float = Field(
        default=0.2,
        gt=0,
        le=60,
        description="Longest wait of an object for its batch, in seconds: how far SQL is behind.",
    )
    mirror_batch_rows: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Most objects in one transaction. A row that PostgreSQL refuses is found by"
        " halving the batch, so a larger one costs more then.",
    )
    mirror_capacity_objects: int = Field(
        default=50_000,
        ge=100,
        le=10_000_000,
        description="Most objects that wait while PostgreSQL is away. More are not lost: they are"
        " listed again when it is back.",
    )
    repair_period_seconds: float = Field(
        default=600,
        ge=10,
        le=86_400,
        description="Time between two comparisons of cluster and database, in seconds.",
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
        default="json", description="json: an object a line, for collectors. console: for people."
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

    @field_validator("operator_namespace")
    @classmethod
    def _check_operator_namespace(cls, value: str) -> str:
        if not _NAMESPACE.fullmatch(value):
            raise ValueError("cannot be the name of a namespace")
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
        return self

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
        """The DSN, out of its file if it stands in one.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if self.dsn is not None:
            return self.dsn
        assert self.dsn_file is not None, "checked together"
        text = _read_text(self.dsn_file, "dsn_file (SOULBOX_DSN_FILE)").strip()
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
        """None but the arguments: `load_settings` merges file, environment and flags, and
        `Settings(...)` in a test reads nothing."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def load_settings(config: Path | None = None, **overrides: object) -> Settings:
    """Settings from defaults, file, environment and flags.

    Args:
        config: YAML file with setting names as keys; None reads no file.
        overrides: flags by setting name; None means not given.

    Raises:
        ConfigError: one line that names the setting, what is wrong and the remedy. It never
            holds a value of dsn.
    """
    values: dict[str, Any] = {} if config is None else _read_config(config)
    values |= EnvSettingsSource(Settings)()
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(_read_text(path, "--config"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" at line {mark.line + 1}"
        raise ConfigError(f"--config: {path} is not YAML{where}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"--config: {path} must hold settings as `name: value` lines")
    return {str(name): value for name, value in content.items()}


def _read_text(path: Path, setting: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{setting}: cannot read {path}: {error.strerror}") from None
    if len(raw) > _MAX_FILE_BYTES:
        raise ConfigError(f"{setting}: {path} is over {_MAX_FILE_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: {path} is not UTF-8 text") from None


def _explain(error: ValidationError) -> str:
    # The first finding, without the input: it may be a password.
    first = error.errors(include_url=False, include_input=False)[0]
    problem = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return problem
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{name[:64]}: there is no such setting{hint}"
    return f"{name} ({ENV_PREFIX}{name.upper()}): {problem}"
