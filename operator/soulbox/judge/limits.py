"""Every bound of the judge, for both sides of the pipe."""

from typing import Final

# What a schema, a document and an expression may have, as JSON text (docs/judge.md).
SCHEMA_BYTES: Final = 32 << 10
DOCUMENT_BYTES: Final = 256 << 10
EXPRESSION_BYTES: Final = 4 << 10
# What an expression may result in: a value that goes into an object (status.result's bound).
VALUE_BYTES: Final = 64 << 10
# Levels of a schema. The libraries take 240 and more; people write under 20.
SCHEMA_LEVELS: Final = 100
# Levels of a document: what orjson writes. It reads a few hundred more, which nobody could
# write again.
DOCUMENT_LEVELS: Final = 254

# CPU time that one ask may take. Not wall time: on a node that is short of processors an
# innocent ask may wait for seconds (decision 0103).
DEADLINE_SECONDS: Final = 0.25
# Wall time after which a child is given up that has used no CPU either: nobody's fault.
WALL_SECONDS: Final = 10.0
# Wall time for the start of a child; 0.1 s on an idle machine, and machines are busy.
START_SECONDS: Final = 30.0

# CPU time from which an ask is slow: its owner is judged apart from then on. Ordinary ones take
# 0.1 ms, and 10 with a document of 256 KiB.
SLOW_SECONDS: Final = 0.05

# Address space. The child begins with 47 MiB of it (29 MiB resident, measured); the worst document
# of 256 KiB that was found takes it to 89.
MEMORY_BYTES: Final = 256 << 20
# Over this, or this much CPU in its life, a child is replaced between two asks: what its cache and
# the libraries have kept must not become the next one's fault.
SPENT_BYTES: Final = 160 << 20
SPENT_CPU_SECONDS: Final = 300.0
# The kernel's own bound for a child that does not ask to be replaced.
LIFE_CPU_SECONDS: Final = 600
STACK_BYTES: Final = 8 << 20

# Compiled schemas and expressions that the child keeps.
CACHE_ENTRIES: Final = 256

# Problems that are told of one document, letters of one key or value of its schema in them, and of
# a number of the document (a telephone's has ten and more).
PROBLEMS: Final = 10
PROBLEM_LETTERS: Final = 300
VALUE_LETTERS: Final = 64
NUMBER_LETTERS: Final = 9
# In larger documents the first problem only: the library finds all of them or one.
ALL_PROBLEMS_BYTES: Final = 16 << 10

# Frames: what the child reads, what the parent reads. A value of 64 KiB and ten problems fit.
REQUEST_BYTES: Final = 512 << 10
REPLY_BYTES: Final = 128 << 10

# Asks that wait: in one lane, and of one owner.
WAITING: Final = 2_000
WAITING_OF_ONE: Final = 500
# Verdicts on what was late or ended a child; owners and schemas of such, and of slow ones: kept so
# long, so many.
REMEMBERED_SECONDS: Final = 600.0
REMEMBERED: Final = 4_096
# The child for those that are suspected ends when nobody of them has asked for so long.
IDLE_SECONDS: Final = 60.0

# How a child ends that ran out of memory and could still say so, and one whose library broke.
EXIT_OUTGREW: Final = 77
EXIT_BROKEN: Final = 78
