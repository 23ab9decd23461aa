"""Small text files that people name in settings and options."""

from pathlib import Path
from typing import Final

from soulbox.model.errors import ConfigError

# A config file is a page of text; a larger file means a wrong path.
_MAX_BYTES: Final = 1_048_576


def read_text(path: Path, setting: str) -> str:
    """The file's content.

    Raises:
        ConfigError: it cannot be read, is too large or no UTF-8; names the setting.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{setting}: cannot read {path}: {error.strerror}") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{setting}: {path} is over {_MAX_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: {path} is not UTF-8 text") from None
