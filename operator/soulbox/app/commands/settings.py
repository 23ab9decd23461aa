"""The operator's settings, for the commands that read its database.

Loaded when a command asks for them, as most commands do without and start the sooner.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soulbox.schema.settings import Settings


def load_settings(config: Path | None = None, **overrides: object) -> "Settings":
    """See schema/load_settings.py."""
    from soulbox.schema.load_settings import load_settings as load  # noqa: PLC0415

    return load(config, **overrides)
