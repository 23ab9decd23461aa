"""`soulbox billing verify`: the ledger made again from pods and prices, and compared."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from soulbox.app.commands.db import with_store
from soulbox.app.commands.options_db import Config
from soulbox.app.commands.settings import load_settings
from soulbox.model.billing import plain_decimal
from soulbox.model.errors import SoulBoxError
from soulbox.model.times import requested_time

if TYPE_CHECKING:
    from soulbox.pure.verify import Finding
    from soulbox.store.pool import Store
    from soulbox.store.verify import Scope, Summary, Sums


class VerifyFormat(StrEnum):
    """How findings are printed."""

    TABLE = "table"
    JSON = "json"


def verify(
    since: Annotated[
        str | None, typer.Option(help="Pods that ran at or after this, 2026-11-01T00:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Pods that ran before this.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    output: Annotated[VerifyFormat, typer.Option("--output", "-o")] = VerifyFormat.TABLE,
    config: Config = None,
) -> None:
    """Recompute every row of the ledger from the pods' times and the prices, and every sum of use
    from its rows, and print what differs. Exit code 0: nothing; 1: something; 2: the check could
    not be done. Warnings (clocks of nodes, pods whose end is unknown) do not change the exit
    code."""
    try:
        from soulbox.store.verify import Scope  # noqa: PLC0415 - psycopg: 0.2 s

        scope = Scope(since=_moment("since", since), until=_moment("until", until), tenant=tenant)
        summary = with_store(load_settings(config), lambda store: _verify(store, scope, output))
    except SoulBoxError as error:
        print(f"soulbox: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if summary.differences:
        raise typer.Exit(1)


async def _verify(store: "Store", scope: "Scope", output: VerifyFormat) -> "Summary":
    from soulbox.store.verify import Verification  # noqa: PLC0415

    verification = Verification(store, scope)
    if output is VerifyFormat.JSON:
        typer.echo('{"findings": [', nl=False)
    separator = "\n"
    async for finding in verification.findings():
        if output is VerifyFormat.TABLE:
            typer.echo(_line(finding))
        else:
            typer.echo(separator + _json(_plain(finding)), nl=False)
            separator = ",\n"
    summary = verification.summary
    if output is VerifyFormat.TABLE:
        for line in _summary_lines(summary):
            typer.echo(line)
    else:
        typer.echo(f'],\n"summary": {_json(_summary_plain(summary))}}}')
    return summary


def _moment(name: str, text: str | None) -> datetime | None:
    return None if text is None else requested_time(name, text)


def _line(finding: "Finding") -> str:
    words = [f"{'warning' if finding.is_warning else 'wrong':7}", f"{finding.kind.value:11}"]
    if finding.tenant is not None:
        words.append(f"tenant {_printable(finding.tenant)}")
    if finding.pod_uid is not None:
        words.append(f"pod {finding.pod_uid}")
    if finding.hour is not None:
        words.append(f"hour {_time(finding.hour)}")
    if finding.event_id is not None:
        words.append(f"event {finding.event_id}")
    return f"{' '.join(words)}: {_printable(finding.text)}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def _plain(finding: "Finding") -> dict[str, Any]:
    return {
        "severity": "warning" if finding.is_warning else "wrong",
        "kind": finding.kind.value,
        "tenant": finding.tenant,
        "pod_uid": finding.pod_uid,
        "event_id": finding.event_id,
        "hour": None if finding.hour is None else _time(finding.hour),
        "text": finding.text,
    }


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value, default=str).decode()


def _summary_lines(summary: "Summary") -> list[str]:
    def sums(name: str, of: "Sums") -> str:
        rounding = f" + {plain_decimal(of.rounding_seconds)}" if of.rounding_seconds else ""
        return (
            f"{name:12}{of.rows} rows, {plain_decimal(of.seconds)}{rounding} s, "
            f"{_amounts(of.amounts)}"
        )

    return [
        f"{'pods':12}{summary.pods}",
        sums("ledger", summary.ledger),
        sums("recomputed", summary.recomputed),
        sums("adjustments", summary.adjustments),
        f"{'wrong':12}{summary.differences}",
        f"{'warnings':12}{summary.warnings}",
    ]


def _amounts(amounts: Mapping[str, Decimal]) -> str:
    return (
        ", ".join(f"{plain_decimal(value)} {name}" for name, value in sorted(amounts.items()))
        or "nothing"
    )


def _summary_plain(summary: "Summary") -> dict[str, Any]:
    def sums(of: "Sums") -> dict[str, Any]:
        return {
            "rows": of.rows,
            "seconds": plain_decimal(of.seconds),
            "rounding_seconds": plain_decimal(of.rounding_seconds),
            "amounts": {name: plain_decimal(value) for name, value in sorted(of.amounts.items())},
        }

    return {
        "pods": summary.pods,
        "ledger": sums(summary.ledger),
        "recomputed": sums(summary.recomputed),
        "adjustments": sums(summary.adjustments),
        "differences": summary.differences,
        "warnings": summary.warnings,
    }
