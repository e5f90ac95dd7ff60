"""What a checkpoint says next in a conversation: read once, then token by token, told as it is said.
No HTTP, no template of its own: a conversation goes in, pieces of text and the reason of the end come out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from serve_app.core import spans
from serve_app.core.clock import Stop
from serve_app.core.conversation import Candidate, Conversation, Ended, EndReason, Said, SaidToken
from serve_app.errors import ContextTooLong, MalformedRequest, Overloaded
from serve_app.vlm.local import picture_bytes
from serve_app.vlm.local.decoding import prefix
from serve_app.vlm.local.decoding.branches import Branches, Single, allowed, stoppable
from serve_app.vlm.local.decoding.compiled import Step
from serve_app.vlm.local.grammar import JsonText, Writing
from serve_app.vlm.local.lexicon import Lexicon, end_ids
from serve_app.vlm.local.planning.plan import Planner, Work
from serve_app.vlm.local.talking import sampling, turns
from serve_app.vlm.local.talking.sampling import Sampler
from serve_app.vlm.local.talking.spelling import Spelling
from serve_app.vlm.local.vision import Prompt, VisionEncoder

logger = logging.getLogger("pairlens.vlm")
Tell = Callable[[Said], None]
_RETRY_SCALE: Final = 0.5  # of the pictures' sides, after memory ran out
_LAST: Final = 1  # token that is kept back from the reading: its logits choose the first that is said


@dataclass(frozen=True, slots=True)
class Parts:
    """What a loaded checkpoint's talk shares with its answers. `shares`: see `prefix.can_share`; `step`: see
    `Branches`; `give_back`: frees what is kept of earlier work."""

    model: Any
    processor: Any
    sight: VisionEncoder
    lexicon: Lexicon
    json: JsonText
    planner: Planner | None
    step: Step | None
    shares: bool
    give_back: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is to be read. `stretches`: tokens around pictures; None: only the processor can put it together."""

    words: list[turns.Words]
    stretches: list[list[int]] | None
    text_tokens: int


class Talk:
    """Talks with one loaded checkpoint, one conversation at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        tokenizer, model = parts.processor.tokenizer, parts.model
        self._ends = end_ids(model, tokenizer)
        banned = torch.zeros(parts.json.vocabulary_size, dtype=torch.bool)
        banned[len(tokenizer) :] = True  # columns that stand for nothing
        banned[[number for number, token in tokenizer.added_tokens_decoder.items() if token.special]] = True
        banned[list(self._ends)] = False
        self._banned = banned.to(model.device)
        config = model.config.get_text_config()
        self._context: int | None = getattr(config, "max_position_embeddings", None)

    def talk(self, conversation: Conversation, tell: Tell, stop: Stop) -> Ended:
        """See the protocol. Memory is planned before the work; out of memory all the same, it tries once more with
        pictures of half the sides, if nothing was said yet."""
        writing = self._writing(conversation)
        reading = self._reading(conversation)
        work = self._work(conversation, reading)
        work = self._parts.planner.fitted(work) if self._parts.planner else work
        has_told = False

        def telling(said: Said) -> None:
            nonlocal has_told
            has_told = True
            tell(said)

        try:
            return self._talk(conversation, reading, work, writing, telling, stop)
        except torch.OutOfMemoryError:
            logger.warning("out of memory in a conversation")
        # Outside the handler: the error's traceback would keep the tensors of the failed try alive.
        self._parts.give_back()
        if not has_told:
            try:
                again = self._writing(conversation)
                return self._talk(conversation, reading, work.scaled(_RETRY_SCALE), again, telling, stop)
            except torch.OutOfMemoryError:
                logger.error("out of memory twice")  # noqa: TRY400 - its text is the allocator's
            self._parts.give_back()
        raise Overloaded("The model's device ran out of memory in this conversation.", retry_after_s=5)

    def _talk(
        self,
        conversation: Conversation,
        reading: _Reading,
        work: Work,
        writing: Writing | None,
        tell: Tell,
        stop: Stop,
    ) -> Ended:
        parts = self._parts
        pictures = picture_bytes.decoded(conversation.pictures, work.sizes)
        with torch.inference_mode(), stoppable(parts.model, stop, parts.step):
            if reading.stretches is not None:
                prompt = parts.sight.woven(reading.stretches, pictures)
            else:
                prompt = Prompt(parts.sight.together(turns.as_text(reading.words, parts.lexicon), pictures))
            most = self._most_tokens(conversation, prompt.length)
            begun, last = prompt.but_last()
            length = prompt.length
            with spans.span("read the prompt"):
                one = prefix.read(parts.model, begun.inputs)
            del prompt, begun
            branches = one.branch([0], together=parts.shares and one.can_batch, step=parts.step)
            speech = _Speech(conversation, parts.json, self._banned, self._ends, writing)
            with spans.span("decode") as note:
                reason = speech.run(branches, last, most, tell)
                note("steps", speech.num_tokens)
        return Ended(reason, length, speech.num_tokens)

    def _writing(self, conversation: Conversation) -> Writing | None:
        """Raises MalformedRequest."""
        if conversation.schema is None:
            return None
        try:
            return self._parts.json.of_schema(conversation.schema)
        except ValueError:
            raise MalformedRequest(
                "The JSON schema uses something that the model's answer can't be held to.",
                field="/response_format/json_schema/schema",
            ) from None

    def _reading(self, conversation: Conversation) -> _Reading:
        parts, count = self._parts, len(conversation.pictures)
        words = turns.rendered(parts.processor, conversation.turns)
        found = turns.stretches(words, parts.sight, parts.lexicon, count) if parts.sight.composes else None
        if found is not None:
            return _Reading(words, found, sum(map(len, found)))
        return _Reading(words, None, len(parts.lexicon.template(turns.as_text(words, parts.lexicon))) - count)

    def _work(self, conversation: Conversation, reading: _Reading) -> Work:
        sizes = tuple((picture.width, picture.height) for picture in conversation.pictures)
        return Work(
            text_tokens=max(0, reading.text_tokens),
            sizes=sizes,
            orders=(tuple(range(len(sizes))),),
            places=(0,),
            num_writing=1,
            lengths=(_LAST,),
            longest_text=conversation.max_tokens,
            num_whole=len(sizes),
            subject="this conversation",
        )

    def _most_tokens(self, conversation: Conversation, length: int) -> int:
        """Raises ContextTooLong."""
        if self._context is None:
            return conversation.max_tokens
        if length >= self._context:
            raise ContextTooLong(
                f"The conversation is {length} tokens long; this model holds {self._context} with its answer.",
                field="/messages",
            )
        return min(conversation.max_tokens, self._context - length)


class _Speech:
    """One answer being said."""

    def __init__(
        self,
        conversation: Conversation,
        json: JsonText,
        banned: torch.Tensor,
        ends: set[int],
        writing: Writing | None,
    ) -> None:
        self._sampler = Sampler(conversation.sampling, banned)
        self._spelling = Spelling(conversation.stops, tells_tokens=conversation.num_alternatives is not None)
        self._num_alternatives = conversation.num_alternatives
        self._json = json
        self._ends = ends
        self._writing = writing
        self.num_tokens = 0

    def run(self, branches: Branches | Single, last: int, most_tokens: int, tell: Tell) -> EndReason:
        """Say up to `most_tokens`; `last`: the prompt's last token."""
        fed = [last]
        while self.num_tokens < most_tokens:
            logits = branches.feed([fed])
            token = self._sampler.choose(logits[0], self._allowed(logits))
            if token in self._ends:
                return self._finished("stop", tell)
            fed = self._taken(token)[: most_tokens - self.num_tokens]
            self._sampler.said(fed)
            for number, one in enumerate(fed):
                self.num_tokens += 1
                self._tell(self._spelling.add(self._told(one, logits[0] if number == 0 else None)), tell)
                if self._spelling.has_stopped:
                    return "stop"
            if self._writing is not None and self._writing.matcher.is_stopped():
                return self._finished("stop", tell)
        return self._finished("length", tell)

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor | None:
        if self._writing is None:
            return None
        found = allowed(logits, self._json.masks([self._writing]))[0]
        if self._writing.is_done:  # the grammar knows one end, a model may have several
            found[list(self._ends)] = True
        return found

    def _taken(self, token: int) -> list[int]:
        """It, and what the grammar then forces; nothing is forced where each token's alternatives are to be told."""
        if self._writing is None:
            return [token]
        if self._num_alternatives is None:
            return self._writing.accept(token)
        self._writing.take(token)
        return [token]

    def _told(self, token: int, logits: torch.Tensor | None) -> SaidToken:
        spelling = self._json.spelling(token)
        if self._num_alternatives is None or logits is None:
            return SaidToken(spelling, 0.0)
        found = sampling.logprobs(logits, token, self._num_alternatives)
        others = tuple(Candidate(self._json.spelling(other), logprob) for other, logprob in found.others)
        return SaidToken(spelling, found.chosen, others)

    def _finished(self, reason: EndReason, tell: Tell) -> EndReason:
        self._tell(self._spelling.rest(), tell)
        return reason

    @staticmethod
    def _tell(said: Said | None, tell: Tell) -> None:
        if said is not None:
            tell(said)
