"""The engine for tests: deterministic answers; slow, failing, wrong or deaf on demand.
No model: it looks at no pixel.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from serve_app.core import Inquiry, ModelIdentity, ModelOutput, Question, Reply, Stop
from serve_app.settings import ScriptedSettings

CHOSEN = 0.9  # probability of the chosen label; half of the rest lies outside the labels
POLL_S = 0.01
TOKENS_PER_PROMPT = 100
TOKENS_PER_REPLY = 10


class ScriptedModel:
    """Chooses the same label for every question, and places every element in the same box."""

    def __init__(self, settings: ScriptedSettings) -> None:
        self._settings = settings
        self.identity = ModelIdentity(engine="scripted", name=None, revision=None)

    def answer(self, inquiry: Inquiry, stop: Stop) -> ModelOutput:
        if not inquiry.questions:
            return self._anchor(inquiry)
        self._work(stop)
        if self._settings.fails:
            raise RuntimeError("scripted failure /secret/path pid 1234")
        replies = self._replies(inquiry, inquiry.questions, self._settings.label)
        return ModelOutput(
            replies=replies,
            swapped_replies=self._replies(inquiry, inquiry.swapped_questions, self._settings.label),
            prompt_tokens=TOKENS_PER_PROMPT,
            generated_tokens=TOKENS_PER_REPLY * len(replies),
        )

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

    def _replies(self, inquiry: Inquiry, questions: Sequence[Question], chosen: int) -> tuple[Reply, ...]:
        """Where nothing changed it says so, unless it is to see ghosts."""
        decoy = ("region", inquiry.decoy)
        ghosts = int(self._settings.sees_ghosts)
        return tuple(self._reply(one, ghosts if (one.kind, one.index) == decoy else chosen) for one in questions)

    def _work(self, stop: Stop) -> None:
        end = time.monotonic() + self._settings.delay_s
        while (left := end - time.monotonic()) > 0:
            if not self._settings.ignores_stop:
                stop.check()
            time.sleep(min(POLL_S, left))
        if not self._settings.ignores_stop:
            stop.check()

    def _reply(self, question: Question, chosen: int) -> Reply:
        if self._settings.answers_badly:
            return Reply((0.0,) * question.num_labels, "<garbage>\ud83d not what was asked for {{{")
        if question.shape == "findings":
            return Reply((), json.dumps({"findings": [each.model_dump() for each in self._settings.findings]}))
        if not question.num_labels:
            return Reply((), json.dumps({question.text_key: "A scripted summary."}))
        labels = question.wordings[0].labels
        rest = (1 - CHOSEN) / 2 / (len(labels) - 1)
        probabilities = tuple(CHOSEN if i == chosen else rest for i in range(len(labels)))
        box = {"box": self._settings.box} if question.shape == "boxed_text" else {}
        text = f"A scripted word on {question.kind.replace('_', ' ')} {question.index + 1}: {labels[chosen]}."
        written = {"answer": labels[chosen], **box, question.text_key: text}
        return Reply(probabilities, json.dumps(written, ensure_ascii=False))
