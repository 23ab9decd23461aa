"""How many Sandboxes a Function has: as many as its calls want, within its scale."""

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
    running: int = 0  # calls, those that are being handed to it included
    concurrency: int | None = None  # calls at once; None: as many as the scale says
    idles: bool = True  # it ends by itself when it is idle

    @property
    def lives(self) -> bool:
        """Whether it takes calls, or will."""
        return not self.over and not self.deleting


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """What to do now.

    Attributes:
        create: by revision, how many more.
        delete: those that ended, and those that nothing calls any more.
    """

    create: Mapping[str, int] = field(default_factory=dict)
    delete: tuple[SeenBox, ...] = ()


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
    create: dict[str, int] = {}
    for revision in sorted({*wanted, *([] if current is None or suspended else [current])}):
        alive = [box for box in boxes if box.lives and box.revision == revision]
        least = scale.min if revision == current else 0
        more = _more(alive, wanted.get(revision, 0), scale, least)
        if more:
            create[revision] = more
    return Scaling(create=create, delete=tuple(_useless(boxes, wanted, scale, current, suspended)))


def _more(alive: list[SeenBox], waiting: int, scale: Scale, least: int) -> int:
    # The scale may have changed since it was made, which it does not follow.
    free = sum(max(0, (box.concurrency or scale.concurrency) - box.running) for box in alive)
    needed = -(-max(0, waiting - free) // scale.concurrency)
    target = min(scale.max, max(len(alive) + needed, least))
    return max(0, target - len(alive))


def _useless(
    boxes: list[SeenBox],
    waiting: Mapping[str, int],
    scale: Scale,
    current: str | None,
    suspended: bool,
) -> Iterable[SeenBox]:
    """Those that ended; of another version, or a suspended Function, those that nothing runs in;
    and of the current one what is more than its scale."""
    kept = 0
    for box in sorted(boxes, key=lambda box: (-box.running, box.idles, box.name)):
        if box.deleting:
            continue
        if box.over:
            yield box
        elif box.running or box.revision in waiting:
            kept += box.revision == current
        elif suspended or box.revision != current:
            yield box
        else:
            kept += 1
            if kept > (scale.max if box.idles else scale.min):
                yield box
