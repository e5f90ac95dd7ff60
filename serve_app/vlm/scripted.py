"""The engine for tests: deterministic answers; slow, failing, wrong or deaf on demand.
No model: it looks at no pixel but for the mark that it is shown at its start.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from serve_app.core.assessed import PictureBox
from serve_app.core.clock import Stop
from serve_app.core.conversation import Conversation, Ended, Said, SaidToken
from serve_app.core.habits import CONVENTIONS, Frame
from serve_app.core.inquiry import Inquiry, ModelIdentity, ModelOutput, Question, Reply
from serve_app.core.pictures import ShownImage
from serve_app.settings import ScriptedFinding, ScriptedSettings

CHOSEN = 0.9  # probability of the chosen label; half of the rest lies outside the labels
POLL_S = 0.01
TOKENS_PER_PROMPT = 100
TOKENS_PER_REPLY = 10
_GARBAGE = "<garbage>\ud83d not what was asked for {{{"
REMOVED = 3  # position of that label: what was removed has its place in the first picture


class ScriptedModel:
    """Chooses the same label for every question, places every element in the same box, and always says the same."""

    def __init__(self, settings: ScriptedSettings) -> None:
        self._settings = settings
        self.identity = ModelIdentity(engine="scripted", name=None, revision=None)

    def answer(self, inquiry: Inquiry, stop: Stop) -> ModelOutput:
        if not inquiry.questions:
            return self._anchor(inquiry)
        if [question.kind for question in inquiry.questions] == ["focus_element"]:
            return self._placing(inquiry)
        self._tally("begun", inquiry)
        try:
            self._work(stop, self._settings.delay_s)
        except BaseException:
            self._tally("stopped", inquiry)
            raise
        self._fail()
        replies = self._replies(inquiry, inquiry.questions, self._settings.label)
        self._tally("answered", inquiry)
        return ModelOutput(
            replies=replies,
            swapped_replies=self._replies(inquiry, inquiry.swapped_questions, self._settings.label),
            prompt_tokens=TOKENS_PER_PROMPT,
            generated_tokens=TOKENS_PER_REPLY * len(replies),
            resized=(_resized(inquiry.shown_reference), _resized(inquiry.shown_candidate)),
        )

    def talk(self, conversation: Conversation, tell: Callable[[Said], None], stop: Stop) -> Ended:
        """Its words one after the other; of an answer that is to fit a schema an empty object."""
        words = re.findall(r"\S+\s*", _GARBAGE if self._settings.answers_badly else self._settings.says)
        if conversation.schema is not None:
            words = ["{", "}"]
        self._note("begun", conversation.pictures)
        try:
            self._work(stop, self._settings.delay_s)
            for word in words[: conversation.max_tokens]:
                self._work(stop, self._settings.pause_s)
                self._fail()
                tell(
                    Said(
                        word,
                        ()
                        if conversation.num_alternatives is None
                        else (SaidToken(word.encode("utf-8", "replace"), -0.1),),
                    )
                )
        except BaseException:
            self._note("stopped", conversation.pictures)
            raise
        self._note("answered", conversation.pictures)
        is_whole = len(words) <= conversation.max_tokens
        return Ended("stop" if is_whole else "length", TOKENS_PER_PROMPT, min(len(words), conversation.max_tokens))

    def can_choose(self, labels: Sequence[str]) -> bool:
        """It has no tokenizer."""
        return bool(labels)

    def warm_up(self) -> None:
        """Nothing to warm."""

    def _anchor(self, inquiry: Inquiry) -> ModelOutput:
        """At its start it neither fails nor takes long: what a test scripts is about comparisons."""
        are_equal = inquiry.shown_reference == inquiry.shown_candidate
        chosen = self._settings.anchors[0 if are_equal else 1]
        return ModelOutput((), self._replies(inquiry, inquiry.swapped_questions, chosen), TOKENS_PER_PROMPT, 0)

    def _placing(self, inquiry: Inquiry) -> ModelOutput:
        """Asked for one element and nothing else, it is at its start, and looks for the mark."""
        written = {"answer": "same", "box": self._corners(_mark(inquiry.shown_candidate), inquiry.shown_candidate)}
        sizes = _resized(inquiry.shown_reference), _resized(inquiry.shown_candidate)
        replies = (Reply((CHOSEN, 0.0, 0.0, 0.0, 0.0), json.dumps({**written, "explanation": "Here."})),)
        return ModelOutput(replies, (), TOKENS_PER_PROMPT, TOKENS_PER_REPLY, resized=sizes)

    def _corners(self, place: Sequence[int] | None, shown: ShownImage) -> list[float] | None:
        """A place in thousandths, as it writes it."""
        convention = next((one for one in CONVENTIONS if one.name == self._settings.boxes), None)
        if place is None or convention is None:
            return None
        corners = convention.corners(PictureBox(*place), Frame((shown.width, shown.height), _resized(shown)))
        return None if corners is None else list(corners)

    def _replies(self, inquiry: Inquiry, questions: Sequence[Question], chosen: int) -> tuple[Reply, ...]:
        """Where nothing changed it says so, unless it is to see ghosts."""
        decoy = ("region", inquiry.decoy)
        ghosts = int(self._settings.sees_ghosts)
        return tuple(
            self._reply(inquiry, one, ghosts if (one.kind, one.index) == decoy else chosen) for one in questions
        )

    def _finding(self, inquiry: Inquiry, said: ScriptedFinding) -> dict[str, Any]:
        shown = inquiry.shown_reference if said.kind == "removed" else inquiry.shown_candidate
        return {**said.model_dump(), "box": self._corners(said.box, shown)}

    def _tally(self, what: str, inquiry: Inquiry) -> None:
        self._note(what, (inquiry.shown_reference, inquiry.shown_candidate))

    def _note(self, what: str, pictures: Sequence[ShownImage]) -> None:
        """One line, whole whoever else writes: what was done survives whoever is killed."""
        if self._settings.tally is None:
            return
        which = hashlib.sha256(b"".join(shown.data for shown in pictures)).hexdigest()
        file = os.open(self._settings.tally, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, f"{what} {time.time():.4f} {which}\n".encode())
        finally:
            os.close(file)

    def _work(self, stop: Stop, delay_s: float) -> None:
        end = time.monotonic() + delay_s
        while (left := end - time.monotonic()) > 0:
            if not self._settings.ignores_stop:
                stop.check()
            time.sleep(min(POLL_S, left))
        if not self._settings.ignores_stop:
            stop.check()

    def _fail(self) -> None:
        if self._settings.fails:
            raise RuntimeError("scripted failure /secret/path pid 1234")

    def _reply(self, inquiry: Inquiry, question: Question, chosen: int) -> Reply:
        if self._settings.answers_badly:
            return Reply((0.0,) * question.num_labels, _GARBAGE)
        if question.shape == "findings":
            return Reply(
                (), json.dumps({"findings": [self._finding(inquiry, each) for each in self._settings.findings]})
            )
        if not question.num_labels:
            return Reply((), json.dumps({question.text_key: "A scripted summary."}))
        labels = question.wordings[0].labels
        rest = (1 - CHOSEN) / 2 / (len(labels) - 1)
        probabilities = tuple(CHOSEN if i == chosen else rest for i in range(len(labels)))
        shown = inquiry.shown_reference if chosen == REMOVED else inquiry.shown_candidate
        box = {"box": self._corners(self._settings.box, shown)} if question.shape == "boxed_text" else {}
        text = f"A scripted word on {question.kind.replace('_', ' ')} {question.index + 1}: {labels[chosen]}."
        written = {"answer": labels[chosen], **box, question.text_key: text}
        return Reply(probabilities, json.dumps(written, ensure_ascii=False))


def _resized(shown: ShownImage) -> tuple[int, int]:
    """As if its processor halved every picture."""
    return max(1, shown.width // 2), max(1, shown.height // 2)


def _mark(shown: ShownImage) -> PictureBox | None:
    """Where the red square is in a plain picture, in thousandths."""
    red, green, blue = np.moveaxis(np.frombuffer(shown.data, np.uint8).reshape(shown.height, shown.width, 3), 2, 0)
    rows, columns = np.nonzero((red > 180) & (green < 90) & (blue < 90))
    if not len(rows):
        return None
    across, down = 1000 / shown.width, 1000 / shown.height
    left, right = columns.min() * across, (columns.max() + 1) * across
    return PictureBox(round(left), round(rows.min() * down), round(right), round((rows.max() + 1) * down))
