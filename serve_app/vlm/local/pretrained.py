"""Engine `transformers`: any local vision-language checkpoint answers an inquiry, or talks.
No scores, no thresholds: it gives the probabilities of labels and what was written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from serve_app.core.byte_cache import ByteCache, OnLookup, uncounted
from serve_app.core.clock import Deadline, Stop
from serve_app.core.conversation import Conversation, Ended, Said
from serve_app.core.inquiry import (
    MAX_FINDINGS,
    Inquiry,
    MemoryPlan,
    ModelIdentity,
    ModelOutput,
    Question,
    Reply,
    Wording,
)
from serve_app.errors import Overloaded
from serve_app.settings import ModelSettings
from serve_app.vlm import trial
from serve_app.vlm.local import dialogue, frames, free_memory, grammar, loading, picture_bytes
from serve_app.vlm.local.asking import Asking, Row
from serve_app.vlm.local.decoding import compiled, prefix, usual
from serve_app.vlm.local.decoding.branches import stoppable
from serve_app.vlm.local.decoding.compiled import Step
from serve_app.vlm.local.decoding.head import Head
from serve_app.vlm.local.decoding.prefix import Prefix
from serve_app.vlm.local.grammar import JsonText
from serve_app.vlm.local.lexicon import Lexicon
from serve_app.vlm.local.planning import plan
from serve_app.vlm.local.planning.plan import Work
from serve_app.vlm.local.talking.talk import Parts, Talk
from serve_app.vlm.local.thinking import Thinking, log_unused, marks_of
from serve_app.vlm.local.vision import Prompt, VisionEncoder, stacked
from serve_app.vlm.unavailable import ModelUnavailable

logger = logging.getLogger("pairlens.vlm")
_WARM_UP_S = 600.0
_RETRY_SCALE = 0.5  # of the pictures' sides, after memory ran out
_CAPTIONS = ("First picture:", "Second picture:")  # as `prompt` names them, in the prompts that are measured


def load(
    settings: ModelSettings, on_lookup: OnLookup = uncounted, on_out_of_memory: Callable[[], None] = lambda: None
) -> PretrainedModel:
    """Raises ModelUnavailable."""
    loaded = loading.load(settings)
    model = PretrainedModel(loaded, settings, on_lookup=on_lookup, on_out_of_memory=on_out_of_memory)
    try:
        model.lexicon.choose(trial.QUESTION)
    except LookupError:
        raise ModelUnavailable(f"{settings.name} has no single tokens for the letters A to E.") from None
    return model


class PretrainedModel:
    """Asks a loaded checkpoint: one prefill an order of the pictures, all questions as one batch."""

    def __init__(
        self,
        loaded: loading.Loaded,
        settings: ModelSettings,
        free_bytes: Callable[[torch.device], int] = free_memory.free_bytes,
        on_lookup: OnLookup = uncounted,
        step: Step | None = None,
        on_out_of_memory: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_lookup`: told of every hit and miss of the cache. `step`: instead of what the settings choose.
        `on_out_of_memory`: called each time that memory ran out, whether a smaller try follows or not."""
        self._on_out_of_memory = on_out_of_memory
        self.cache = ByteCache(settings.cache_bytes, on_lookup)
        self._sight = VisionEncoder(loaded.model, loaded.processor, self.cache)
        self.identity: ModelIdentity = loaded.identity
        self.model = loaded.model
        self.lexicon = Lexicon(loaded.processor.tokenizer)
        self._processor = loaded.processor
        self._settings = settings
        self._shares = shares = prefix.can_share(loaded.model)
        self._thinking = self._thinking_of(loaded)
        self._step = step or compiled.step_for(loaded.model, settings)
        before, _ = self.prompt("", len(_CAPTIONS), _CAPTIONS)
        self._planner = plan.planner_for(self._sight, before, settings, free_bytes, cache=self.cache, shares=shares)
        json = JsonText(
            loaded.processor.tokenizer,
            loaded.model.get_output_embeddings().weight.shape[0],
            max_finding_tokens=max(1, settings.max_summary_tokens // MAX_FINDINGS),
            device=loaded.model.device,
        )
        self._asking = Asking(Head(loaded.model), self.lexicon, json, settings, shares=shares, step=self._step)
        whole = loaded.model, loaded.processor, self._sight, self.lexicon, json, self._planner, self._step
        self._talk = Talk(Parts(*whole, shares=shares, give_back=self._give_back))

    def answer(self, inquiry: Inquiry, stop: Stop) -> ModelOutput:
        """See the protocol. Memory is planned before the work; out of memory all the same, it tries once more, with
        pictures of half the sides and one question at a time.

        Raises also ImageTooLarge where the pair fits in no size, and Overloaded where it ran out of memory twice.
        """
        before, after = self._texts(inquiry)
        rows = self._rows(inquiry, after)
        work = self._work(inquiry, before, rows)
        planned, work = self._planner.decide(work) if self._planner else (None, work)
        try:
            return self._answer(inquiry, before, planned, work, rows, stop)
        except torch.OutOfMemoryError:
            logger.warning("out of memory: trying once more, smaller")
        # Outside the handler: the error's traceback would keep the tensors of the failed try alive.
        self._give_back()
        planned = planned and replace(planned, rows_per_batch=1, scale=planned.scale * _RETRY_SCALE)
        rows = self._rows(inquiry, after)
        try:
            return self._answer(inquiry, before, planned, work.scaled(_RETRY_SCALE), rows, stop, one_by_one=True)
        except torch.OutOfMemoryError:
            logger.error("out of memory twice")  # noqa: TRY400 - its text is the allocator's
        self._give_back()
        raise Overloaded("The model's device ran out of memory on this pair, even at half its size.", retry_after_s=5)

    def talk(self, conversation: Conversation, tell: Callable[[Said], None], stop: Stop) -> Ended:
        """See the protocol."""
        return self._talk.talk(conversation, tell, stop)

    def _give_back(self) -> None:
        """After memory ran out."""
        self._on_out_of_memory()
        self.cache.clear()
        if self._step is not None:
            self._step.clear()
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _answer(
        self,
        inquiry: Inquiry,
        before: str,
        planned: MemoryPlan | None,
        work: Work,
        rows: Sequence[Row],
        stop: Stop,
        *,
        one_by_one: bool = False,
    ) -> ModelOutput:
        pictures = picture_bytes.decoded(inquiry.pictures, work.sizes)
        orders = [[pictures[i] for i in order] for order in work.orders]
        with torch.inference_mode(), stoppable(self.model, stop, self._step):
            prompts = self._sight.prompts(before, orders)
            visual_tokens = prompts[0].count(self._processor.image_token_ids)
            resized = frames.resized(prompts[0].inputs, self._processor, work.orders[0])
            prefixes = _read(self.model, prompts)
            del prompts
            thinking, num_thought = self._thinking_about(inquiry), 0
            if thinking is not None:
                prefixes, num_thought = thinking.think(prefixes, inquiry.thought_request)
            tokens = sum(one.length * one.num_rows for one in prefixes) - num_thought
            most = planned.rows_per_batch if planned else len(rows)
            self._asking.ask(prefixes, rows, 1 if one_by_one else most)
        swapped = len(inquiry.questions)
        if planned:
            lengths = {"visual_tokens": visual_tokens, "prompt_tokens": max(one.length for one in prefixes)}
            planned = replace(planned, **lengths, shown_reference=work.sizes[0], shown_candidate=work.sizes[1])
        return ModelOutput(
            replies=tuple(self._reply(row) for row in rows[:swapped]),
            swapped_replies=tuple(self._reply(row) for row in rows[swapped:]),
            prompt_tokens=tokens + sum(len(row.suffix) for row in rows),
            generated_tokens=num_thought + sum(len(row.writing.tokens) for row in rows if row.writing),
            plan=planned,
            resized=resized,
        )

    def _thinking_of(self, loaded: loading.Loaded) -> Thinking | None:
        """None: it is to write nothing before the first question. Raises ModelUnavailable."""
        marks = marks_of(loaded.model, loaded.processor, self.lexicon)
        most = self._settings.thought_tokens
        if not most:
            log_unused(self.identity.name, loaded.processor, marks)
            return None
        return Thinking(loaded.model, loaded.processor, self.lexicon, marks, most_tokens=most, shares=self._shares)

    def _thinking_about(self, inquiry: Inquiry) -> Thinking | None:
        return self._thinking if inquiry.thought_request else None

    def _texts(self, inquiry: Inquiry) -> tuple[str, str]:
        """What is read before all questions, and what stands behind each."""
        thinking, told = self._thinking_about(inquiry), (inquiry.instructions, len(inquiry.pictures), inquiry.captions)
        before, after = dialogue.around(self._processor, *told, thinks=thinking is not None)
        return before, thinking.after if thinking else after

    def _rows(self, inquiry: Inquiry, after: str) -> list[Row]:
        """All questions, those that write first."""
        tail = self.lexicon.template(after)
        rows = [self._asking.row(question, tail, 0) for question in inquiry.questions]
        return rows + [self._asking.row(question, tail, 1) for question in inquiry.swapped_questions]

    def _work(self, inquiry: Inquiry, before: str, rows: Sequence[Row]) -> Work:
        count, thinking = len(inquiry.pictures), self._thinking_about(inquiry)
        orders = (tuple(range(count)), inquiry.exchanged)
        asked = [bool(inquiry.questions), bool(inquiry.swapped_questions)]
        return Work(
            text_tokens=len(self.lexicon.template(before)) - count,  # a mark stands for each picture
            sizes=tuple((one.width, one.height) for one in inquiry.pictures),
            orders=tuple(order for order, is_asked in zip(orders, asked, strict=True) if is_asked),
            places=tuple(row.order if all(asked) else 0 for row in rows),
            num_writing=len(inquiry.questions),
            lengths=tuple(len(row.suffix) for row in rows),
            longest_text=self._longest_text(inquiry),
            thought=thinking.num_tokens(inquiry.thought_request) if thinking else (),
        )

    def _longest_text(self, inquiry: Inquiry) -> int:
        """Tokens of the longest answer, with the JSON around it that is put in for the model."""
        given = [f"{grammar.opening(question)},{question.text_key}" for question in inquiry.questions]
        around = max((len(self.lexicon.template(text)) for text in given), default=0)
        return around + max(self._settings.max_explanation_tokens, self._settings.max_summary_tokens)

    def can_choose(self, labels: Sequence[str]) -> bool:
        """See the protocol."""
        return self.lexicon.label_ids(tuple(labels)) is not None

    def warm_up(self) -> None:
        """Ask one question and a summary about two small grey pictures, in both orders; record the usual steps."""
        grey, asked = trial.picture(), trial.QUESTION
        summary = Question("summary", 0, (Wording('Answer as {"summary":"<one sentence>"}.'),))
        told, request = trial.INSTRUCTIONS, "Say what they show."
        inquiry = Inquiry(grey, grey, told, (asked, summary), (asked,), "en", "", thought_request=request)
        self.answer(inquiry, Stop(Deadline.after(_WARM_UP_S)))
        if self._step is not None and self._shares:
            ids = torch.tensor([self.lexicon.template(told)]).to(self.model.device)
            with torch.inference_mode():
                begun = prefix.read(self.model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
                usual.record(self._step, begun)

    def prompt(self, instructions: str, num_pictures: int = 2, captions: Sequence[str] = ()) -> tuple[str, str]:
        """The chat template's text before the question and after it."""
        return dialogue.around(self._processor, instructions, num_pictures, captions)

    def inputs(self, before: str, pictures: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """The processor's tensors for the shared part of the prompt, on the model's device and in its type."""
        return self._sight.together(before, pictures)

    def _reply(self, row: Row) -> Reply:
        if row.writing is None:
            return Reply(row.probabilities, "")
        written = self._processor.tokenizer.decode(row.writing.tokens, clean_up_tokenization_spaces=False)
        return Reply(row.probabilities, row.opening + written.rstrip("\ufffd"))  # a character cut in two


def _read(model: Any, prompts: Sequence[Prompt]) -> list[Prefix]:
    """The prompts as rows of one prefix, or as one prefix each where they can't be rows of one."""
    rows = stacked(prompts)
    return [prefix.read(model, one) for one in ([rows] if rows else [prompt.inputs for prompt in prompts])]
