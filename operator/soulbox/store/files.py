"""The SQL files: in the wheel beside this module, in a checkout under db/."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, LiteralString, cast

_WHEEL: Final = Path(__file__).parent / "sql"
_CHECKOUT: Final = Path(__file__).parents[3] / "db"
_HEADER: Final = re.compile(r"^-- ([a-z_]+) --$", re.MULTILINE)


def sql_directory() -> Path:
    """The folder that holds migrations/, queries/ and schema.sql."""
    return _WHEEL if _WHEEL.is_dir() else _CHECKOUT


def aggregates() -> list[str]:
    """What load_queries knows, in order of their names."""
    root = sql_directory() / "queries"
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.sql"))


@cache
def load_queries(aggregate: str) -> Mapping[str, LiteralString]:
    """The statements of db/queries/<aggregate>.sql by name.

    Each stands under a line `-- name --` and a comment that tells its purpose. They are
    part of the program, not input: that is why they may be called literal.

    Raises:
        ValueError: a name appears twice.
    """
    text = (sql_directory() / "queries" / f"{aggregate}.sql").read_text(encoding="utf-8")
    parts = _HEADER.split(text)
    names = parts[1::2]
    if len(names) != len(set(names)):
        raise ValueError(f"queries/{aggregate}.sql names a query twice")
    bodies = (body.strip() for body in parts[2::2])
    return MappingProxyType(
        {name: cast(LiteralString, body) for name, body in zip(names, bodies, strict=True)}
    )
