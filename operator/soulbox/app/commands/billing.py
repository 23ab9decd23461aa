"""`soulbox billing …`: the ledger and what is made from it. This module holds only the group: each
command has a module of its own, registered here."""

import typer

from soulbox.app.commands.billing_adjust import adjust
from soulbox.app.commands.billing_invoice import export, invoice
from soulbox.app.commands.billing_verify import verify
from soulbox.app.commands.usage import rebuild

app = typer.Typer(no_args_is_help=True, help="The ledger, bills, and sums made from them.")
app.command()(verify)
app.command()(adjust)
app.command()(invoice)
app.command()(export)
app.command()(rebuild)
