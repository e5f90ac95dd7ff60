"""The chat template's text around a question: the pictures with their names, the instructions, the model's turn.
No model, no tokens: a processor's template in, text out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from jinja2 import TemplateError

from serve_app.vlm.thought_marks import THOUGHT_MARKS, Marks

_QUESTION: Final = "[[the question]]"  # stands in the template where each question goes
_ANSWER: Final = "[[the answer]]"  # and here what the model has written before
_PICTURE: Final = {"type": "image"}
_SWITCH: Final = "enable_thinking"


class SecondTurn(NamedTuple):
    """What stands between the model's first turn and a question, and after the question."""

    between: str
    after: str


def around(
    processor: Any, instructions: str, num_pictures: int, captions: Sequence[str] = (), *, thinks: bool = False
) -> tuple[str, str]:
    """All that stands before a question and after it. `captions`: names of the pictures, empty where they have none.

    Some templates put all pictures first, whatever stands between them: there the text begins with their list.
    `thinks`: the model is to write a thought now. A thought that the template begins stays open; else it is ended.
    """
    question = f"{instructions}\n{_QUESTION}"
    interleaved = [part for caption in captions for part in (_text(caption), _PICTURE)]
    rendered = _asked(processor, interleaved, question, thinks=thinks) if captions else ""
    if not captions or not _stand_apart(rendered, (*captions, instructions)):
        listed = "".join(f"{number}. {caption}\n" for number, caption in enumerate(captions, 1))
        rendered = _asked(processor, [_PICTURE] * num_pictures, listed + question, thinks=thinks)
    before, _, after = rendered.partition(_QUESTION)
    return before, after if thinks else _ended(after)


def second_turn(processor: Any) -> SecondTurn | None:
    """Of a dialogue in which the model has said something; None where the template has no place for that."""
    said = [_message("user", "Look."), _message("assistant", _ANSWER), _message("user", _QUESTION)]
    try:
        _, found, rest = _rendered(processor, said, thinks=False).partition(_ANSWER)
    except (TemplateError, KeyError, TypeError, ValueError):
        return None
    between, asks, after = rest.partition(_QUESTION)
    return SecondTurn(between, _ended(after)) if found and asks else None


def conversation(processor: Any, said: Sequence[tuple[str, Sequence[str | None]]]) -> str | None:
    """All that stands before the model's next turn; None where the template has no place for such turns.

    `said`: each speaker and its parts in order, None for a picture.
    """
    messages = [
        {"role": speaker, "content": [_PICTURE if part is None else _text(part) for part in parts]}
        for speaker, parts in said
    ]
    try:
        return _ended(_rendered(processor, messages, thinks=False))
    except (TemplateError, KeyError, IndexError, TypeError, ValueError):
        return None


def opened(after: str) -> Marks | None:
    """Of the thought that this text begins and doesn't end; None if there is none."""
    return next((marks for marks in THOUGHT_MARKS if after.rstrip().endswith(marks.begins)), None)


def has_switch(processor: Any) -> bool:
    """Whether its template lets the caller say that nothing is to be thought: then the model is trained for both."""
    return _SWITCH in str(processor.chat_template)


def end(marks: Marks) -> str:
    """What is put behind a thought."""
    return f"\n{marks.ends}\n\n"


def _ended(after: str) -> str:
    """A template that always thinks: end the thought at once."""
    marks = opened(after)
    return after if marks is None else f"{after.rstrip()}\n{end(marks)}"


def _asked(processor: Any, pictures: Sequence[dict[str, str]], text: str, *, thinks: bool) -> str:
    asked = {"role": "user", "content": [*pictures, _text(text)]}
    return _rendered(processor, [asked], thinks=thinks)


def _rendered(processor: Any, messages: Sequence[dict[str, Any]], *, thinks: bool) -> str:
    switches = {_SWITCH: thinks} if has_switch(processor) else {}
    rendered: str = processor.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=True, **switches
    )
    return rendered


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [_text(text)]}


def _stand_apart(rendered: str, texts: Sequence[str]) -> bool:
    """Whether these texts follow in order with something, a picture, between each two."""
    until = None
    for text in texts:
        start = rendered.find(text.strip(), until or 0)
        if start < 0 or (until is not None and not rendered[until:start].strip()):
            return False
        until = start + len(text.strip())
    return True


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
