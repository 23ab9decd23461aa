"""Where settings come from: defaults, the profile's, a YAML file, the environment, flags."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from soulbox.model.errors import ConfigError
from soulbox.schema.files import read_text
from soulbox.schema.settings import ENV_PREFIX, PROFILES, Settings


def load_settings(config: Path | None = None, **overrides: object) -> Settings:
    """Settings from defaults, profile, file, environment and flags; later ones override earlier
    ones.

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
    defaults = PROFILES.get(str(values.get("profile")), {})  # another name is refused below
    try:
        return Settings(**{**defaults, **values})
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(read_text(path, "--config"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" at line {mark.line + 1}"
        raise ConfigError(f"--config: {path} is not YAML{where}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"--config: {path} must hold settings as `name: value` lines")
    return {str(name): value for name, value in content.items()}


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
