"""Settings: who wins, what is refused, and that no password gets out."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from soulbox.kinds import generate
from soulbox.model.errors import ConfigError
from soulbox.schema.load_settings import load_settings
from soulbox.schema.settings import PROFILES, Settings

DSN = "postgresql://soulbox:hunter2@db/soulbox"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("SOULBOX_"):
            monkeypatch.delenv(name)


def _config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_defaults_need_only_a_database() -> None:
    settings = load_settings(dsn=DSN)
    assert settings.operator_namespace == "soulbox-system"
    assert settings.workers == 64
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8080)
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == DSN


def test_later_source_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config(tmp_path, f"dsn: {DSN}\nworkers: 1\nlog_level: debug\nmirror_batch_rows: 7")
    monkeypatch.setenv("SOULBOX_WORKERS", "2")
    monkeypatch.setenv("SOULBOX_LOG_LEVEL", "warning")

    settings = load_settings(config, log_level="error", workers=None)

    assert settings.mirror_batch_rows == 7
    assert settings.workers == 2
    assert settings.log_level == "error"


SOURCES: dict[str, tuple[str, dict[str, str], dict[str, object], int]] = {
    "nothing set: the default": ("", {}, {}, 10),
    "the profile of the file": ("profile: production", {}, {}, 50),
    "the profile of the environment": ("", {"PROFILE": "production"}, {}, 50),
    "the profile of a flag": ("profile: development", {}, {"profile": "production"}, 50),
    "a flag's profile over the environment's": (
        "", {"PROFILE": "production"}, {"profile": "development"}, 10,
    ),
    "the file over the profile": ("profile: production\npool_max_size: 20", {}, {}, 20),
    "the environment over file and profile": (
        "profile: production\npool_max_size: 20", {"POOL_MAX_SIZE": "30"}, {}, 30,
    ),
    "a flag over everything": (
        "profile: production\npool_max_size: 20",
        {"POOL_MAX_SIZE": "30"},
        {"pool_max_size": 40},
        40,
    ),
    "a flag that was not given": ("pool_max_size: 20", {}, {"pool_max_size": None}, 20),
}  # fmt: skip


@pytest.mark.parametrize("case", SOURCES)
def test_default_then_profile_then_file_then_environment_then_flag(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, environment, flags, want_size = SOURCES[case]
    for name, value in environment.items():
        monkeypatch.setenv(f"SOULBOX_{name}", value)
    settings = load_settings(_config(tmp_path, f"dsn: {DSN}\n{text}"), **flags)
    assert settings.pool_max_size == want_size


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_sets_what_there_is_within_its_bounds(profile: str) -> None:
    settings = load_settings(dsn=DSN, profile=profile)
    assert settings.profile == profile
    for name, value in PROFILES[profile].items():
        assert getattr(settings, name) == value


def test_profile_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^profile \(SOULBOX_PROFILE\): .*'production'"):
        load_settings(dsn=DSN, profile="staging")


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOULBOX_WORKERS", "")
    assert load_settings(dsn=DSN).workers == 64


def test_settings_in_code_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOULBOX_DSN", DSN)
    with pytest.raises(ValidationError, match="no database is set"):
        Settings()


@pytest.mark.parametrize(
    ("text", "want"), [("a, b,", ("a", "b")), ("", ()), ("team-1", ("team-1",))]
)
def test_namespaces_are_split_at_commas(
    text: str, want: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOULBOX_WATCH_NAMESPACES", text)
    assert load_settings(dsn=DSN).watch_namespaces == want


def test_namespaces_from_a_file_are_a_list(tmp_path: Path) -> None:
    config = _config(tmp_path, f"dsn: {DSN}\nwatch_namespaces: [a, b]")
    assert load_settings(config).watch_namespaces == ("a", "b")


def test_dsn_from_a_file_is_stripped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dsn"
    path.write_text(f"{DSN}\n")
    monkeypatch.setenv("SOULBOX_DSN_FILE", str(path))
    url = load_settings().database_url
    assert url is not None
    assert url.get_secret_value() == DSN


@pytest.mark.parametrize(
    ("content", "want"), [(b"\n", "is empty"), (b"\xff\xfe", "is not UTF-8 text")]
)
def test_dsn_file_without_a_dsn_is_refused(content: bytes, want: str, tmp_path: Path) -> None:
    path = tmp_path / "dsn"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=want) as caught:
        _ = load_settings(dsn_file=path).database_url
    assert "SOULBOX_DSN_FILE" in str(caught.value)


def test_missing_dsn_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        _ = load_settings(dsn_file=tmp_path / "none").database_url


@pytest.mark.parametrize(
    ("overrides", "want"),
    [
        ({"dsn": None}, "no database is set: give SOULBOX_DSN"),
        ({"dsn_file": "/x"}, "only one of dsn and dsn_file"),
        ({"workers": 0}, r"workers \(SOULBOX_WORKERS\): Input should be greater than or equal"),
        ({"workers": "many"}, r"workers \(SOULBOX_WORKERS\)"),
        ({"log_level": "loud"}, "'debug', 'info', 'warning' or 'error'"),
        ({"http_listen": "8080"}, "write it as host:port"),
        ({"http_listen": "localhost:"}, "write it as host:port"),
        ({"http_listen": "localhost:65536"}, "at most 65535"),
        ({"watch_namespaces": ["Team"]}, "'Team' cannot be the name of a namespace"),
        ({"operator_namespace": "a/b"}, "cannot be the name of a namespace"),
        ({"pool_min_size": 11}, "pool_min_size is more than pool_max_size"),
        ({"lease_name": "Upper"}, "cannot be the name of an object"),
        ({"lease_identity": "a b"}, "letters, digits, dots, dashes and underscores"),
        ({"lease_identity": ""}, "1 to 128"),
        (
            {"lease_duration_seconds": 10},
            "lease_renew_deadline_seconds must be at least a second less",
        ),
        ({"lease_renew_seconds": 5.1}, "lease_renew_seconds is over half of"),
        ({"wrkers": 1}, "wrkers: there is no such setting; did you mean workers?"),
        ({"zzz": 1}, "zzz: there is no such setting$"),
    ],
)
def test_wrong_setting_is_one_line_without_the_password(
    overrides: dict[str, object], want: str
) -> None:
    with pytest.raises(ConfigError, match=want) as caught:
        load_settings(None, **({"dsn": DSN} | overrides))
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("- a", "must hold settings as"),
        ("a: [", "is not YAML at line"),
        ("\x00", "is not YAML"),
        ("workers: {}", "SOULBOX_WORKERS"),
    ],
)
def test_wrong_file_is_refused(text: str, want: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=want):
        load_settings(_config(tmp_path, text), dsn=DSN)


def test_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert load_settings(_config(tmp_path, ""), dsn=DSN) == load_settings(dsn=DSN)


def test_missing_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(tmp_path / "none")
    with pytest.raises(ConfigError, match="over 1048576 bytes"):
        load_settings(_config(tmp_path, "#" * 1_048_577))


def test_password_is_in_no_repr() -> None:
    assert "hunter2" not in repr(load_settings(dsn=DSN))
    assert "hunter2" not in str(load_settings(dsn=DSN).model_dump_json())


def test_ipv6_address_loses_its_brackets() -> None:
    settings = load_settings(dsn=DSN, http_listen="[::1]:0")
    assert (settings.http_host, settings.http_port) == ("::1", 0)


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(dsn=DSN)
    with pytest.raises(ValidationError):
        settings.workers = 1  # type: ignore[misc]


def test_reference_page_lists_every_setting() -> None:
    page = generate.build_files()["docs/reference/configuration.md"]
    for name, field in Settings.model_fields.items():
        assert f"| `{name}`<br>`SOULBOX_{name.upper()}` |" in page
        assert field.description


LEASES: dict[str, tuple[dict[str, object], str]] = {
    "all namespaces": ({}, "soulbox-operator"),
    "some": ({"watch_namespaces": ["a", "b"]}, "soulbox-operator-1eb7c54d52"),
    "a name that is set": ({"watch_namespaces": ["a"], "lease_name": "mine"}, "mine"),
}


@pytest.mark.parametrize("name", LEASES)
def test_lease_is_named_after_the_namespaces_served(name: str) -> None:
    overrides, want = LEASES[name]
    assert load_settings(dsn=DSN, **overrides).lease == want


def test_order_of_namespaces_does_not_matter_and_the_set_does() -> None:
    def lease(*served: str) -> str:
        return load_settings(dsn=DSN, watch_namespaces=list(served)).lease

    assert lease("a", "b") == lease("b", "a", "b")
    assert lease("a", "b") != lease("a")
