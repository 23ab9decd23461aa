"""The judge, for the rest of the operator: what tenants wrote goes in, verdicts come out.

Two children at most: one for everybody, always warm; one for owners, schemas and expressions
that were slow, late or ended a child in the last ten minutes, started when it is needed. So nobody
waits for one that is known to be hostile, and for an unknown one only once. The very same ask that
was late is answered from memory.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from soulbox.judge import limits
from soulbox.judge.child import COMMAND, Cause, Reply
from soulbox.judge.fair import Ask, Recent
from soulbox.judge.lane import Lane
from soulbox.judge.verdicts import Outcome, Statistics, Type, Verdict
from soulbox.model.errors import JudgeUnavailable

_DEADLINE: Final = f"{limits.DEADLINE_SECONDS * 1000:.0f} ms"
_MEMORY: Final = f"{limits.MEMORY_BYTES >> 20} MiB"
# The document that a schema is tried on when it is published.
_EMPTY: Final = b"{}"


class Judge:
    """Asks are awaited; `run` must run meanwhile.

    A schema, a document and inputs are JSON as Python has it, or its text as bytes, which is
    then never parsed in this process. `owner` is whose fault a bad schema is, for taking turns:
    the namespace. Every ask raises JudgeUnavailable where nobody is to blame: try again later.

    Args:
        on_judged: told of each verdict: what was asked ("check_schema", "validate", "check_cel",
            "evaluate_cel"), the outcome (an Outcome, or "Unavailable"), and the wall seconds from
            the ask to the answer.
        on_ended: told what ended a child (a Cause): "Idle" and "Spent" are ordinary.
        command: what starts a child.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        on_judged: Callable[[str, str, float], None] | None = None,
        on_ended: Callable[[str], None] | None = None,
        command: tuple[str, ...] = COMMAND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_judged = on_judged
        self._on_ended = on_ended
        self._clock = clock
        self._everybody, self._suspected = (
            Lane(command, warm=warm, judged=self._learn, ended=self._child_ended)
            for warm in (True, False)
        )
        self._suspects: Recent[bool] = Recent(clock)
        self._remembered: Recent[Outcome] = Recent(clock)
        self._ended: Counter[str] = Counter()

    async def run(self) -> None:
        """Serve until cancelled; the children end with it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._everybody.run(), name="judge")
            group.create_task(self._suspected.run(), name="judge-suspected")

    async def check_schema(
        self, schema: Any, *, owner: str, field: str, object_at_top: bool = False
    ) -> Verdict:
        """Whether a schema can be published: its form, its references, its patterns, and how long
        it takes to judge an empty document."""
        asked = {"field": field, "name": "an empty document", "object": object_at_top}
        return await self._schema_ask("check_schema", asked, schema, _EMPTY, owner)

    async def validate(
        self, document: Any, schema: Any, *, owner: str, name: str, field: str
    ) -> Verdict:
        """Whether a document ("input") matches a schema ("inputSchema")."""
        asked = {"field": field, "name": name, "object": False}
        return await self._schema_ask("validate", asked, schema, document, owner)

    async def check_cel(
        self,
        expression: str,
        *,
        owner: str,
        field: str,
        variables: Mapping[str, Type],
        result: Type = Type.ANY,
    ) -> Verdict:
        """Whether an expression compiles with these variables and can have that type."""
        asked = {"field": field, "name": "its compilation", "variables": dict(variables)}
        return await self._cel_ask("check_cel", asked | {"result": result}, expression, {}, owner)

    async def evaluate_cel(
        self,
        expression: str,
        inputs: Any,
        *,
        owner: str,
        field: str,
        variables: Mapping[str, Type],
        result: Type = Type.ANY,
        name: str = "inputs",
    ) -> Verdict:
        """What an expression results in: `value` of the verdict, when it is good.

        Args:
            inputs: an object with a value for each variable; what is not declared is ignored.
        """
        asked = {"field": field, "name": name, "variables": dict(variables), "result": result}
        return await self._cel_ask("evaluate_cel", asked, expression, inputs, owner)

    def statistics(self) -> Statistics:
        """This moment."""
        lanes = (self._everybody, self._suspected)
        return Statistics(
            waiting=sum(len(lane.waiting) + lane.busy for lane in lanes),
            suspected=len(self._suspects),
            ended=dict(self._ended),
        )

    async def _schema_ask(
        self, kind: str, asked: dict[str, Any], schema: Any, document: Any, owner: str
    ) -> Verdict:
        field = asked["field"]
        subject = _text(schema)
        if isinstance(subject, str):
            return self._refused(kind, f"{field} is not JSON: {subject}")
        if len(subject) > limits.SCHEMA_BYTES:
            return self._refused(kind, _too_large(field, subject, limits.SCHEMA_BYTES))
        key = hashlib.sha256(subject).hexdigest()
        header = asked | {"about": "schema", "key": key, "check": kind == "check_schema"}
        return await self._document_ask(kind, header, subject, document, owner)

    async def _cel_ask(
        self, kind: str, asked: dict[str, Any], expression: str, inputs: Any, owner: str
    ) -> Verdict:
        field = asked["field"]
        try:
            subject = expression.encode()
        except UnicodeEncodeError:
            return self._refused(kind, f"{field} is not text: it has half of a surrogate pair")
        if len(subject) > limits.EXPRESSION_BYTES:
            return self._refused(kind, _too_large(field, subject, limits.EXPRESSION_BYTES))
        header = asked | {"about": "cel", "check": kind == "check_cel"}
        return await self._document_ask(kind, header, subject, inputs, owner)

    async def _document_ask(
        self, kind: str, header: dict[str, Any], subject: bytes, document: Any, owner: str
    ) -> Verdict:
        name = header["name"]
        text = _text(document)
        if isinstance(text, str):
            return self._bad(kind, f"{name} is not JSON that can be kept: {text}")
        if len(text) > limits.DOCUMENT_BYTES:
            return self._bad(kind, _too_large(name, text, limits.DOCUMENT_BYTES))
        began = time.perf_counter()
        try:
            reply = await self._reply(orjson.dumps(header), subject, text, owner)
        except JudgeUnavailable:
            self._tell(kind, "Unavailable", began)
            raise
        self._tell(kind, reply.outcome, began)
        problems = reply.problems or _blame(reply.outcome, header)
        return Verdict(outcome=reply.outcome, problems=problems, value=reply.value)

    async def _reply(self, header: bytes, subject: bytes, document: bytes, owner: str) -> Reply:
        suspected = any(self._suspects.get(name) for name in _names(owner, subject))
        if suspected and (known := self._remembered.get(_digest(header, subject, document))):
            return Reply(outcome=known)
        lane = self._suspected if suspected else self._everybody
        ask = Ask(owner=owner, header=header, subject=subject, document=document)
        lane.waiting.put(ask)
        return await ask.answer

    def _learn(self, ask: Ask, reply: Reply) -> None:
        """Remember whom to judge apart, and let what else waits of them wait there."""
        failed = reply.outcome in (Outcome.LATE, Outcome.OUTGREW, Outcome.DIED)
        if failed:
            digest = _digest(ask.header, ask.subject, ask.document)
            self._remembered.put(digest, reply.outcome)
        if failed or reply.slow:
            for name in _names(ask.owner, ask.subject):
                self._suspects.put(name, True)
            for waiting in self._everybody.waiting.take(ask.owner):
                self._suspected.waiting.put(waiting)

    def _refused(self, kind: str, problem: str) -> Verdict:
        self._tell(kind, Outcome.REFUSED, time.perf_counter())
        return Verdict(outcome=Outcome.REFUSED, problems=(problem,))

    def _bad(self, kind: str, problem: str) -> Verdict:
        self._tell(kind, Outcome.BAD, time.perf_counter())
        return Verdict(outcome=Outcome.BAD, problems=(problem,))

    def _tell(self, kind: str, outcome: str, began: float) -> None:
        if self._on_judged is not None:
            self._on_judged(kind, outcome, time.perf_counter() - began)

    def _child_ended(self, cause: Cause) -> None:
        self._ended[cause] += 1
        if self._on_ended is not None:
            self._on_ended(cause)


def _text(value: Any) -> bytes | str:
    """JSON text of a value, or, as a str, why there is none."""
    if isinstance(value, bytes):
        return value
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        return str(error)[:200]


def _too_large(field: str, text: bytes, most: int) -> str:
    return f"{field} has {len(text):,} bytes of at most {most:,}: shorten it"


def _names(owner: str, subject: bytes) -> tuple[str, str]:
    """What is remembered of somebody who is suspected."""
    return f"owner {owner}", f"subject {_digest(subject)}"


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.hexdigest()


def _blame(outcome: Outcome, header: dict[str, Any]) -> tuple[str, ...]:
    """What to say where no child could say anything any more."""
    field, name = header["field"], header["name"]
    remedy = "simplify anyOf and $ref" if header["about"] == "schema" else "let it build less"
    if outcome is Outcome.LATE:
        verb = "to judge" if header["about"] == "schema" else "for"
        return (f"{field} took over {_DEADLINE} {verb} {name}: {remedy}",)
    if outcome is Outcome.OUTGREW:
        return (f"{field} needed over {_MEMORY} of memory for {name}: {remedy}",)
    if outcome is Outcome.DIED:
        return (f"{field} ended the judge at {name}: nest less and {remedy}",)
    return ()
