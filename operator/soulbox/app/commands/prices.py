"""`soulbox prices …`: price plans from a file into the database, and what is there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soulbox.app.commands.db import with_store
from soulbox.app.commands.options_db import Config
from soulbox.app.commands.settings import load_settings
from soulbox.app.commands.tables import RowFormat, format_rows
from soulbox.model.billing import plain_decimal

if TYPE_CHECKING:
    from soulbox.model.billing import AccountTier, PricePlan
    from soulbox.pure.price_changes import PriceChanges

app = typer.Typer(no_args_is_help=True, help="Price plans, and the tiers of users.")
_File = Annotated[Path, typer.Argument(help="YAML with plans and tiers; see docs/billing.md.")]
_NewSku = Annotated[
    bool,
    typer.Option("--allow-new-sku", help="Accept plans for SKUs under which no pod has run yet."),
]


@app.command()
def apply(file: _File, allow_new_sku: _NewSku = False, config: Config = None) -> None:
    """Load the plans and tiers of FILE into the database, all of them or none. What the file does
    not name stays as it is."""
    for line in _told(_applied(file, allow_new_sku, config, dry_run=False), ""):
        typer.echo(line)


@app.command()
def check(file: _File, allow_new_sku: _NewSku = False, config: Config = None) -> None:
    """Print what `apply` would do, by doing it and rolling it back."""
    for line in _told(_applied(file, allow_new_sku, config, dry_run=True), "would be "):
        typer.echo(line)


@app.command("list")
def list_prices(
    tiers: Annotated[
        bool, typer.Option("--tiers", help="The tiers of users, instead of the plans.")
    ] = False,
    output: Annotated[RowFormat, typer.Option("--output", "-o")] = RowFormat.TABLE,
    config: Config = None,
) -> None:
    """List the stored plans, by SKU, tier and time."""
    from soulbox.store.price_changes import stored_prices  # noqa: PLC0415 - psycopg: 0.2 s

    stored = with_store(load_settings(config), stored_prices)
    now = datetime.now(UTC)
    rows = (
        [_tier_row(one, now) for one in stored.tiers]
        if tiers
        else [_plan_row(plan, now) for plan in stored.plans]
    )
    if tiers and not rows and output is RowFormat.TABLE:
        typer.echo("no account has a tier of its own: all are in tier free")
        return
    typer.echo(format_rows(rows, output), nl=False)


def _applied(
    file: Path, allow_new_sku: bool, config: Path | None, *, dry_run: bool
) -> "PriceChanges":
    from soulbox.schema.prices import read_prices  # noqa: PLC0415
    from soulbox.store.price_changes import apply_prices  # noqa: PLC0415

    wanted = read_prices(file)
    return with_store(
        load_settings(config),
        lambda store: apply_prices(store, wanted, allow_new_sku=allow_new_sku, dry_run=dry_run),
    )


def _told(changes: "PriceChanges", would: str) -> Iterator[str]:
    for verb, plans in (
        ("added", changes.plans_added),
        ("replaced", changes.plans_replaced),
        ("changed", changes.plans_ended),
    ):
        for plan in plans:
            yield (
                f"{would}{verb}: plan {plan.name} ({plan.sku}/{plan.tier}), {plan.rate:f} "
                f"{plan.currency} a compute unit {_range(plan)}"
            )
    for verb, tiers in (
        ("added", changes.tiers_added),
        ("replaced", changes.tiers_replaced),
        ("changed", changes.tiers_ended),
    ):
        for one in tiers:
            who = f"{one.tenant}/{one.user_name or '*'}"
            yield f"{would}{verb}: tier {one.tier} of {who} {_range(one)}"
    yield f"unchanged: {changes.unchanged}"


def _range(row: "PricePlan | AccountTier") -> str:
    until = "" if row.valid_to is None else f" until {_time(row.valid_to)}"
    return f"from {_time(row.valid_from)}{until}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plan_row(plan: "PricePlan", now: datetime) -> dict[str, Any]:
    return {
        "name": plan.name,
        "state": _state(plan, now),
        "sku": plan.sku,
        "tier": plan.tier,
        "rate": f"{plan.rate:f}",
        "currency": plan.currency,
        "valid_from": plan.valid_from,
        "valid_to": plan.valid_to,
        "minimum_seconds": plan.minimum_seconds,
        "increment_seconds": plan.increment_seconds,
        "free_units": plain_decimal(plan.free_units),
        "description": plan.description,
    }


def _tier_row(one: "AccountTier", now: datetime) -> dict[str, Any]:
    return {
        "tenant": one.tenant,
        "user": one.user_name,
        "tier": one.tier,
        "state": _state(one, now),
        "valid_from": one.valid_from,
        "valid_to": one.valid_to,
    }


def _state(row: "PricePlan | AccountTier", now: datetime) -> str:
    if row.valid_from > now:
        return "to come"
    return "valid" if row.applies_at(now) else "ended"
