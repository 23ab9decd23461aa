"""What a decision about a Sandbox may ask for."""

from typing import Final

from soulbox.pure import actions

Action = actions.PodAction
Decision = actions.Decision[Action]
NOTHING: Final = Decision()
