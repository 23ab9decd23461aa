"""How a metric is declared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric.

    Attributes:
        name: as it is scraped; a histogram's without its suffixes.
        labels: name to meaning.
        buckets: upper bounds of a histogram, in the unit of its name.
        read: read from a snapshot at each scrape, see `Metrics.read_snapshots`.
    """

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    read: bool = False
