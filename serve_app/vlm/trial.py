"""The small question that every engine is warmed up with: two grey pictures, answers that are letters.
No engine: only what is asked."""

from __future__ import annotations

from typing import Final

from serve_app.core.inquiry import LETTERS, Question, Wording
from serve_app.core.pictures import ShownImage

INSTRUCTIONS: Final = "These are two pictures."
WORDING: Final = Wording(
    'How different are they? Options: A (not) to E (wholly).\nAnswer as {"answer":"<option>"}.', LETTERS
)
QUESTION: Final = Question("aspect", 0, (WORDING,))
_SIDE: Final = 64


def picture() -> ShownImage:
    """One flat grey."""
    return ShownImage(_SIDE, _SIDE, "rgb", bytes([128]) * _SIDE * _SIDE * 3)
