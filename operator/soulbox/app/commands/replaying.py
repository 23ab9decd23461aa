"""What `soulbox tools replay` does: judges the inputs of past calls by another schema."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
import yaml

from soulbox.judge.judge import Judge
from soulbox.model.errors import CommandError, ConfigError
from soulbox.model.states import ExecutionReason, Kind
from soulbox.model.times import format_time

if TYPE_CHECKING:
    from soulbox.store.pool import Store
    from soulbox.store.stored_inputs import StoredCall

_FIELD: Final = "inputSchema"


@dataclass(slots=True, kw_only=True)
class Replay:
    """What came of it.

    Attributes:
        judged: calls that were judged.
        refused_then: calls whose input was refused when they came; they are not judged again.
        rows: those that the schema refuses.
    """

    judged: int = 0
    refused_then: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)


def read_schema(file: Path, name: str) -> Any:
    """The inputSchema of FILE: a manifest that holds the Function, or a schema alone.

    Raises:
        BadParameter: it cannot be read, or it is not clear which schema is meant.
    """
    try:
        found = [one for one in yaml.safe_load_all(file.read_text()) if one is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"--against: cannot read {file}: {error}") from error
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"--against: {file} is not YAML or JSON: {error}") from error
    functions = [one for one in found if isinstance(one, dict) and one.get("kind") == Kind.FUNCTION]
    if not functions and len(found) == 1 and "apiVersion" not in _members(found[0]):
        return found[0]
    named = [one for one in functions if _members(one.get("metadata")).get("name") == name]
    meant = named or functions
    if len(meant) != 1:
        raise typer.BadParameter(
            f"--against: {file} holds {len(meant) or 'no'} Functions"
            f"{f' named {name}' if named else ''}: give a manifest with Function {name}, or a file"
            " with its inputSchema alone"
        )
    schema = _members(meant[0].get("spec")).get(_FIELD)
    if schema is None:
        raise typer.BadParameter(
            f"--against: the Function in {file} has no spec.inputSchema, so it takes any input"
        )
    return schema


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


async def replay(store: "Store", namespace: str, name: str, schema: Any, since: datetime) -> Replay:
    """Judge what the Function was called with.

    Raises:
        ConfigError: the schema is none that a Function may have.
        CommandError: no such Function is recorded.
        JudgeUnavailable: try again.
    """
    from soulbox.store.stored_inputs import StoredInputs  # noqa: PLC0415 - psycopg: 0.2 s

    judge, done = Judge(), Replay()
    serving = asyncio.create_task(judge.run(), name="judge")
    try:
        verdict = await judge.check_schema(
            schema, owner=namespace, field=_FIELD, object_at_top=True
        )
        if not verdict.good:
            raise ConfigError(f"--against: {verdict.message}")
        inputs = StoredInputs(store)
        functions = await inputs.functions_named(namespace, name)
        if not functions:
            raise CommandError(
                f"no Function {namespace}/{name} is recorded, or it is of another tenant: correct"
                " the name, or ask with a login that may see it"
            )
        for uid in functions:
            async for call in inputs.calls(uid, since):
                await _judge(judge, namespace, schema, call, done)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    return done


async def _judge(
    judge: Judge, namespace: str, schema: Any, call: "StoredCall", done: Replay
) -> None:
    if call.reason == ExecutionReason.INPUT_INVALID:
        done.refused_then += 1
        return
    done.judged += 1
    verdict = await judge.validate(call.input, schema, owner=namespace, name="input", field=_FIELD)
    if not verdict.good:
        done.rows.append(
            {
                "uid": str(call.uid),
                "created_at": format_time(call.created_at),
                "execution": call.name,
                "version": call.version,
                "problem": verdict.message,
            }
        )
