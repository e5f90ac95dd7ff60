"""The text around a question, by templates of several kinds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from serve_app.vlm.local import dialogue

NAMES = ("First picture:", "Second picture:")
EACH = "{% for p in m['content'] %}{% if p['type'] == 'image' %}<i>{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
PICTURES_FIRST = (
    "{% for p in m['content'] if p['type'] == 'image' %}<i>\n{% endfor %}"
    "{% for p in m['content'] if p['type'] == 'text' %}{{ p['text'] }}{% endfor %}"
)
TRIMMED = EACH.replace("p['text']", "p['text'] | trim")


def a_processor(body: str, ending: str = "<assistant>") -> Any:
    template = "{% for m in messages %}<user>" + body + "</user>{% endfor %}" + ending

    def apply(messages: list[Any], **more: Any) -> str:
        return str(jinja2.Template(template).render(messages=messages, **more))

    return SimpleNamespace(chat_template=template, apply_chat_template=apply)


@pytest.mark.parametrize("body", [EACH, TRIMMED])
def test_names_stand_before_their_pictures(body: str) -> None:
    before, after = dialogue.around(a_processor(body), "Look. ", 2, NAMES)
    assert before == "<user>First picture:<i>Second picture:<i>Look. \n"
    assert after == "</user><assistant>"


def test_where_a_template_puts_pictures_first_they_are_listed_in_their_order() -> None:
    before, _ = dialogue.around(a_processor(PICTURES_FIRST), "Look.", 2, NAMES)
    assert before == "<user><i>\n<i>\n1. First picture:\n2. Second picture:\nLook.\n"


def test_pictures_without_names_stand_alone() -> None:
    assert dialogue.around(a_processor(EACH), "Look.", 3)[0] == "<user><i><i><i>Look.\n"


def test_a_thought_that_the_template_begins_is_ended() -> None:
    assert dialogue.around(a_processor(EACH, "<assistant><think>\n"), "", 2)[1].endswith("<think>\n\n</think>\n\n")


def test_thinking_is_switched_off_where_the_template_has_a_switch() -> None:
    ending = "{% if enable_thinking %}<think>{% endif %}"
    assert dialogue.around(a_processor(EACH, ending), "", 2)[1] == "</user>"
