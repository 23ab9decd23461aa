"""`soulbox billing adjust`: a signed correction of a row of the ledger."""

from typing import Annotated
from uuid import UUID

import typer

from soulbox.app.commands.db import with_store
from soulbox.app.commands.options_db import Config
from soulbox.app.commands.settings import load_settings
from soulbox.model.billing import plain_decimal
from soulbox.model.errors import InvalidRequest
from soulbox.pure.adjustments import parse_amount


def adjust(
    event: Annotated[str, typer.Option(help="event_id of the row of billing_events.")],
    amount: Annotated[str, typer.Option(help="Amount to add; with - it is taken off.")],
    reason: Annotated[str, typer.Option(help="Reason, for the person who reads the bill.")],
    reference: Annotated[
        str | None,
        typer.Option(help="Key by which a repetition is recognised; default: the reason."),
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="Currency of the amount; refused if the row has another.")
    ] = None,
    config: Config = None,
) -> None:
    """Correct a row of the ledger by adding another. Repeating the command does nothing."""
    from soulbox.store.adjustments import adjust as write  # noqa: PLC0415 - psycopg: 0.2 s

    try:
        event_id = UUID(event)
    except ValueError:
        raise InvalidRequest(
            "event", f"{event[:64]!r} is not an event_id", "it looks like 0e5ad7a2-3d8b-…"
        ) from None
    value = parse_amount(amount)
    done = with_store(
        load_settings(config),
        lambda store: write(
            store,
            event_id,
            amount=value,
            reason=reason,
            reference=reason if reference is None else reference,
            currency=currency,
        ),
    )
    row = done.event
    verb = "adjusted" if done.is_new else "was already adjusted"
    typer.echo(
        f"{verb}: {event_id} by {plain_decimal(row.amount)} {row.currency} ({row.event_id}); "
        f"{plain_decimal(done.left)} {row.currency} are left of it"
    )
