"""How many Sandboxes a Function has: as many as its calls want, within its scale.

`scale.max` is of the Function, all its versions together. Of those that go, because another version
replaced theirs or their lifetime ends, one may be there beside `max` others, so that no call waits
for the end of a long one; and each version that calls name has one, so that none waits for ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from soulbox.model.functions import Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBox:
    """One of the Function's Sandboxes."""

    uid: str
    name: str
    revision: str
    over: bool = False  # it has ended
    deleting: bool = False
    takes: bool = True  # it takes calls of its version, now or once it is ready
    running: int = 0  # calls, those that are being handed to it included
    concurrency: int | None = None  # calls at once; None: as many as the scale says
    idles: bool = True  # it ends by itself when it is idle


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """What to do now.

    Attributes:
        create: by revision, how many more.
        delete: those that ended, and those that nothing calls any more.
        draining: those that take no more calls, and go when what runs in them ends.
    """

    create: Mapping[str, int] = field(default_factory=dict)
    delete: tuple[SeenBox, ...] = ()
    draining: tuple[SeenBox, ...] = ()


def decide_scale(
    boxes: Iterable[SeenBox],
    waiting: Mapping[str, int],
    scale: Scale,
    *,
    current: str | None,
    suspended: bool,
) -> Scaling:
    """Sandboxes to make and to delete; the same input gives the same answer.

    Args:
        waiting: calls that were not handed over yet, by the revision that they want.
        current: the revision of the current version; None: nothing is published.
        suspended: no call begins; those that run go on.
    """
    boxes = list(boxes)
    wanted = {} if suspended else {name: count for name, count in waiting.items() if count}
    called = {*wanted, *([] if current is None or suspended else [current])}
    delete = tuple(_useless(boxes, wanted, scale, current, suspended))
    living = [box for box in boxes if not (box.over or box.deleting or box in delete)]
    draining = tuple(box for box in living if not box.takes or box.revision not in called)
    create: dict[str, int] = {}
    total = len(living)
    for revision in sorted(called, key=lambda name: (name != current, name)):
        taking = [box for box in living if box.takes and box.revision == revision]
        least = scale.min if revision == current else 0
        room = scale.max - total
        if not taking and len(draining) <= scale.max:
            room = max(room, 1)
        more = min(_more(taking, wanted.get(revision, 0), scale, least), room)
        if more > 0:
            create[revision] = more
            total += more
    return Scaling(create=create, delete=delete, draining=draining)


def _more(taking: list[SeenBox], waiting: int, scale: Scale, least: int) -> int:
    """How many more Sandboxes the calls of one version want."""
    # The scale may have changed since it was made, which it does not follow.
    free = sum(max(0, (box.concurrency or scale.concurrency) - box.running) for box in taking)
    needed = -(-max(0, waiting - free) // scale.concurrency)
    target = min(scale.max, max(len(taking) + needed, least))
    return max(0, target - len(taking))


def _useless(
    boxes: list[SeenBox],
    waiting: Mapping[str, int],
    scale: Scale,
    current: str | None,
    suspended: bool,
) -> Iterable[SeenBox]:
    """Those that ended; that nothing runs in, and that take no calls, or are of another version
    or a suspended Function; and of the current one what is more than its scale."""
    kept = 0
    for box in sorted(boxes, key=lambda box: (-box.running, box.idles, box.name)):
        if box.deleting:
            continue
        if box.over:
            yield box
        elif box.running:
            kept += box.takes and box.revision == current
        elif not box.takes:
            yield box
        elif box.revision in waiting:
            kept += box.revision == current
        elif suspended or box.revision != current:
            yield box
        else:
            kept += 1
            if kept > (scale.max if box.idles else scale.min):
                yield box
