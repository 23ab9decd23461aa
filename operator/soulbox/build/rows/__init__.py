"""Rows of PostgreSQL from manifests: one module a kind, pure.

A manifest may be anything that was ever stored (an older schema, absurd annotations): what
no row can be made from raises RowError and goes to the dead letters, whole.
"""

from soulbox.build.rows.execution import build_execution_row, build_program_row
from soulbox.build.rows.fields import RowContext, RowError
from soulbox.build.rows.pod import PodSight, build_pod_sight
from soulbox.build.rows.sample import Reading, build_sample_row, is_pressed
from soulbox.build.rows.sandbox import build_sandbox_row

__all__ = [
    "PodSight",
    "Reading",
    "RowContext",
    "RowError",
    "build_execution_row",
    "build_pod_sight",
    "build_program_row",
    "build_sample_row",
    "build_sandbox_row",
    "is_pressed",
]
