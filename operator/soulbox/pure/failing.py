"""What an object says of itself while the operator fails to reconcile it, again and again."""

from soulbox.model.text import printable
from soulbox.pure.actions import PostEvent


def failing_message(error: str) -> str:
    """For people, while the operator keeps trying."""
    return printable(f"The operator cannot get any further with it, and keeps trying: {error}")


def given_up_message(error: str, failing_seconds: float) -> str:
    """For people, of an Execution that ends for it."""
    return printable(
        f"The operator tried for {failing_seconds:.0f} s and could not start it; none of its code "
        f"ran: {error}"
    )


def failing_event(message: str) -> PostEvent:
    """The Event beside the status."""
    return PostEvent(type="Warning", reason="ReconcileFailed", message=message, action="Reconcile")
