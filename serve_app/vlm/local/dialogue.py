"""The chat template's text around a question: the pictures with their names, the instructions, the model's turn.
No model, no tokens: a processor's template in, text out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_QUESTION: Final = "[[the question]]"  # stands in the template where each question goes
_PICTURE: Final = {"type": "image"}


def around(processor: Any, instructions: str, num_pictures: int, captions: Sequence[str] = ()) -> tuple[str, str]:
    """All that stands before a question and after it. `captions`: names of the pictures, empty where they have none.

    Some templates put all pictures first, whatever stands between them: there the text begins with their list.
    """
    question = f"{instructions}\n{_QUESTION}"
    interleaved = [part for caption in captions for part in (_text(caption), _PICTURE)]
    rendered = _rendered(processor, interleaved, question) if captions else ""
    if not captions or not _stand_apart(rendered, (*captions, instructions)):
        listed = "".join(f"{number}. {caption}\n" for number, caption in enumerate(captions, 1))
        rendered = _rendered(processor, [_PICTURE] * num_pictures, listed + question)
    before, _, after = rendered.partition(_QUESTION)
    if after.rstrip().endswith("<think>"):  # a template that always thinks: end the thought at once
        after = after.rstrip() + "\n\n</think>\n\n"
    return before, after


def _rendered(processor: Any, pictures: Sequence[dict[str, str]], text: str) -> str:
    switches = {"enable_thinking": False} if "enable_thinking" in str(processor.chat_template) else {}
    rendered: str = processor.apply_chat_template(
        [{"role": "user", "content": [*pictures, _text(text)]}], tokenize=False, add_generation_prompt=True, **switches
    )
    return rendered


def _stand_apart(rendered: str, texts: Sequence[str]) -> bool:
    """Whether these texts follow in order with something, a picture, between each two."""
    end = None
    for text in texts:
        start = rendered.find(text.strip(), end or 0)
        if start < 0 or (end is not None and not rendered[end:start].strip()):
            return False
        end = start + len(text.strip())
    return True


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
