"""prices.yaml: price plans and the tiers of users, as people write them.

Every scalar is read as text, so that a rate is the decimal number as written and not the nearest
binary fraction. The first error found is reported in one line that names its field.
"""

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic import ValidationError as Invalid

from soulbox.model.billing import (
    DEFAULT_CURRENCY,
    DEFAULT_SKU,
    DEFAULT_TIER,
    AccountTier,
    PriceList,
    PricePlan,
)
from soulbox.model.errors import InvalidRequest

# Thousands of plans; a file of another kind is refused before it is read.
_MAX_FILE_BYTES: Final = 1 << 20
# A month: no bill is rounded by more.
_MAX_TERM_SECONDS: Final = 31 * 86_400


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("it is not a time with a zone, such as 2027-01-01T00:00:00Z")
    return moment


Word = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[^\x00-\x20\x7f]+$")
]
Line = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Seconds = Annotated[int, Field(ge=0, le=_MAX_TERM_SECONDS)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlanModel(_Model):
    """A plan: fields as the columns of price_plans."""

    name: Word
    sku: Word = DEFAULT_SKU
    tier: Word = DEFAULT_TIER
    rate: Annotated[Decimal, Field(ge=0, max_digits=20, decimal_places=10)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = DEFAULT_CURRENCY
    valid_from: Moment
    valid_to: Moment | None = None
    minimum_seconds: Seconds = 0
    increment_seconds: Seconds = 0
    free_units: Annotated[Decimal, Field(ge=0, max_digits=30, decimal_places=10)] = Decimal(0)
    description: Line = ""


class TierModel(_Model):
    """The tier of a user of a tenant, or of the whole tenant."""

    tenant: Word
    user: Line = ""
    tier: Word
    valid_from: Moment
    valid_to: Moment | None = None


class PriceFile(_Model):
    """The whole file."""

    plans: Annotated[list[PlanModel], Field(max_length=10_000)] = []
    tiers: Annotated[list[TierModel], Field(max_length=100_000)] = []


class _Loader(yaml.BaseLoader):
    """Scalars stay text; a key that occurs twice in one mapping is refused, not overwritten."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} occurs twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_prices(path: Path) -> PriceList:
    """The plans and tiers of a file.

    Raises:
        InvalidRequest: it cannot be read, or its content is not a price list; names the field.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(
            str(path), f"it cannot be read: {error.strerror}", "give another file"
        ) from None
    if len(raw) > _MAX_FILE_BYTES:
        raise InvalidRequest(str(path), f"it is over {_MAX_FILE_BYTES} bytes", "split it")
    return parse_prices(raw, str(path))


def parse_prices(raw: bytes, origin: str) -> PriceList:
    """The plans and tiers of a file's content.

    Args:
        origin: what the file is called in an error that concerns all of it.

    Raises:
        InvalidRequest: see `read_prices`.
    """
    try:
        content = yaml.load(raw.decode(), Loader=_Loader)
    except UnicodeDecodeError:
        raise InvalidRequest(origin, "it is not UTF-8 text", "save it as such") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" at line {mark.line + 1}"
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise InvalidRequest(f"{origin}{where}", " ".join(problem.split()), "correct it") from None
    if not isinstance(content, dict) or not content:
        raise InvalidRequest(origin, "it holds neither plans nor tiers", "begin it with plans:")
    try:
        file = PriceFile.model_validate(content)
    except Invalid as error:
        raise _explain(error) from None
    kinds: tuple[tuple[str, Sequence[PlanModel | TierModel]], ...] = (
        ("plans", file.plans),
        ("tiers", file.tiers),
    )
    for kind, rows in kinds:
        for index, row in enumerate(rows):
            if row.valid_to is not None and row.valid_to <= row.valid_from:
                raise InvalidRequest(
                    f"{kind}[{index}].valid_to", "it is not later than valid_from", "correct either"
                )
    return PriceList(
        plans=tuple(PricePlan(**dict(plan)) for plan in file.plans),
        tiers=tuple(
            AccountTier(
                tenant=one.tenant,
                user_name=one.user,
                tier=one.tier,
                valid_from=one.valid_from,
                valid_to=one.valid_to,
            )
            for one in file.tiers
        ),
    )


def _explain(error: Invalid) -> InvalidRequest:
    first = error.errors(include_url=False)[0]
    field = ""
    for part in first["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}"
    field = field.removeprefix(".")[:128] or "the file"
    match first["type"]:
        case "extra_forbidden":
            last = str(first["loc"][-1])
            known = _known(str(first["loc"][0]) if len(first["loc"]) > 1 else "")
            near = difflib.get_close_matches(last, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            return InvalidRequest(field, "there is no such field", remedy)
        case "missing":
            return InvalidRequest(field, "it is missing", "add it")
        case "string_pattern_mismatch":
            return InvalidRequest(field, "it has characters that do not belong there", "correct it")
    given = first.get("input")
    shown = f"{given[:64]!r}: " if isinstance(given, str) else ""
    problem = first["msg"].removeprefix("Value error, ")
    return InvalidRequest(field, f"{shown}{problem[:1].lower()}{problem[1:]}", "correct it")


def _known(kind: str) -> list[str]:
    models: Mapping[str, type[BaseModel]] = {"plans": PlanModel, "tiers": TierModel}
    model = models.get(kind, PriceFile)
    return list(model.model_fields)
