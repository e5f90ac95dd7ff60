"""An inquiry to many chat requests in parallel, their answers to replies; a conversation to one.
No sockets, no scores: `server` speaks HTTP, `labels` reads probabilities.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import httpx2

from serve_app.core import spans
from serve_app.core.clock import Deadline, Stop
from serve_app.core.conversation import Conversation, Ended, Said
from serve_app.core.inquiry import LETTERS, Inquiry, ModelIdentity, ModelOutput, Question, Reply
from serve_app.core.pictures import ShownImage
from serve_app.errors import DeadlineExceeded
from serve_app.settings import ModelSettings
from serve_app.vlm import trial
from serve_app.vlm.remote import labels, options, pictures, shapes, talking
from serve_app.vlm.remote.server import ChatServer, Completion, ServerFault
from serve_app.vlm.remote.wire import THOUGHT_TOKENS, Options, body
from serve_app.vlm.unavailable import ModelUnavailable

logger = logging.getLogger("pairlens.vlm")
T = TypeVar("T")
_Named = tuple[tuple[str, str], ...]  # name and URL of each picture
POLL_S: Final = 0.02  # how often a stop is looked at while requests are out
WARM_UP_S: Final = 300.0  # a server may load its weights at the first request


def check(settings: ModelSettings) -> None:
    """Whether the server answers and takes our key, in seconds. Raises ModelUnavailable."""
    ChatServer(settings.server, settings.name or "").check()


class ChatModel:
    """Asks one server. The first question of each order goes ahead; the others follow when its answer begins,
    because by then the server's prefix cache holds the pictures: sent at once, each would be read in full.
    """

    def __init__(self, settings: ModelSettings) -> None:
        """Raises ModelUnavailable where the key can't be read."""
        self.identity = ModelIdentity("openai", settings.public_name, settings.revision)
        self._name = settings.name or ""
        self._settings = settings
        self._server = ChatServer(settings.server, self._name)
        self._options = Options()

    def answer(self, inquiry: Inquiry, stop: Stop) -> ModelOutput:
        """See the protocol. Raises Overloaded, Unavailable and ModelFailed, the cause logged."""
        stop.check()
        try:
            return _blocking(_until(stop, self._answer(inquiry, stop.deadline)))
        except ServerFault as fault:
            logger.error("model failed: %s", fault)  # noqa: TRY400 - one sentence; a trace would add nothing
            raise fault.for_caller() from None

    def talk(self, conversation: Conversation, tell: Callable[[Said], None], stop: Stop) -> Ended:
        """See the protocol. Handed on to the server; raises Overloaded, Unavailable and ModelFailed as well."""
        stop.check()
        request = talking.body(self._name, conversation, self._options)
        try:
            return _blocking(_until(stop, talking.talk(self._server, request, tell, stop.deadline)))
        except ServerFault as fault:
            logger.error("conversation failed: %s", fault)  # noqa: TRY400 - one sentence; a trace would add nothing
            raise talking.for_caller(fault) from None

    def can_choose(self, choices: Sequence[str]) -> bool:
        """See the protocol. Lets the model copy an answer with each label; yes where that doesn't tell."""
        lines = " ".join(f'{{"answer":"{choice}"}}' for choice in choices)
        fields = replace(self._options, schema=None).fields(len(choices) * shapes.LABEL_TOKENS, {})
        request = body(self._name, (), f"Copy this line, and write nothing else:\n{lines}", fields)
        try:
            answer = _blocking(self._once(request))
        except ServerFault as fault:
            logger.warning("what tells labels apart can't be found out: %s", fault)
            return True
        return labels.are_told_apart(answer.tokens, choices) is not False

    def warm_up(self) -> None:
        """Ask one question about two small grey pictures, and learn which options the server takes.

        Raises ModelUnavailable.
        """
        stop = Stop(Deadline.after(WARM_UP_S))
        try:
            self._options, answer = _blocking(_until(stop, self._found()))
        except ServerFault as fault:
            said = f" It says: {fault.said}" if fault.said and fault.status not in (401, 403) else ""
            raise ModelUnavailable(f"{fault}{said}") from None
        except DeadlineExceeded:
            raise ModelUnavailable(f"{self._name} didn't answer a trial question within {WARM_UP_S:g} s.") from None
        if not answer.tokens:  # refused, or passed over in silence as `transformers serve` does
            self._options = replace(self._options, top_logprobs=0)
            logger.warning("%s gives no log probabilities: scores rest on the chosen labels alone", self._name)
        if not any(_odds(answer, LETTERS).probabilities):
            logger.warning("%s chose none of the options offered in a trial question", self._name)
        if self._options.thought_tokens:
            logger.warning("%s thinks before each answer: serve it with thinking off to be faster", self._name)
        logger.info("%s is asked with %s", self._name, self._options)

    async def _found(self) -> tuple[Options, Completion]:
        """Raises ModelUnavailable where a thought leaves no room for an answer, and ServerFault."""
        found, answer = await options.found(self._try)
        if not answer.is_all_thought:
            return found, answer
        brisker = await options.brisker(self._try, found)
        if brisker is None:
            raise ModelUnavailable(
                f"{self._name} thinks before it answers, and a trial question was all thought after "
                f"{THOUGHT_TOKENS + shapes.LABEL_TOKENS} tokens: serve it with thinking off, or another model."
            )
        return brisker

    async def _try(self, tried: Options) -> Completion:
        grey = trial.picture()
        fields = tried.fields(shapes.LABEL_TOKENS, shapes.schema(trial.QUESTION, LETTERS, writes=False))
        text = f"{trial.INSTRUCTIONS}\n{trial.WORDING.text}"
        return await self._once(body(self._name, _named(("", ""), (grey, grey)), text, fields))

    async def _once(self, request: bytes) -> Completion:
        async with self._server.client(1) as client:
            return await self._server.complete(client, request, Deadline.after(WARM_UP_S), lambda: None)

    async def _answer(self, inquiry: Inquiry, deadline: Deadline) -> ModelOutput:
        names = inquiry.captions or ("",) * len(inquiry.pictures)
        first = _named(names, inquiry.pictures)
        second = _named(names, inquiry.exchanged_pictures) if inquiry.swapped_questions else ()
        count = self._settings.server.parallel_requests
        turns = asyncio.Semaphore(count)
        async with self._server.client(count) as client:
            talk = _Talk(client, turns, deadline, inquiry.instructions)
            answered, swapped = await _all(
                [
                    self._ask_all(talk, first, inquiry.questions, writes=True),
                    self._ask_all(talk, second, inquiry.swapped_questions, writes=False),
                ]
            )
        every = (*answered, *swapped)
        return ModelOutput(
            replies=tuple(one.reply for one in answered),
            swapped_replies=tuple(one.reply for one in swapped),
            prompt_tokens=sum(one.completion.prompt_tokens for one in every),
            generated_tokens=sum(one.completion.generated_tokens for one in every),
            num_assumed=sum(one.is_stated for one in every),
        )

    async def _ask_all(
        self, talk: _Talk, pictures: _Named, questions: Sequence[Question], *, writes: bool
    ) -> list[_Answered]:
        """All questions about the pictures in this order: the first alone until its answer begins, then the rest."""
        is_read = asyncio.Event()

        async def ask(position: int, question: Question) -> _Answered:
            if position > 0:
                await is_read.wait()
            async with talk.turns:
                return await self._ask(talk, pictures, question, is_read, writes=writes)

        return await _all([ask(position, question) for position, question in enumerate(questions)])

    async def _ask(
        self, talk: _Talk, pictures: _Named, question: Question, is_read: asyncio.Event, *, writes: bool
    ) -> _Answered:
        wording = question.wordings[0]
        fields = self._options.fields(
            shapes.most_tokens(question, self._settings, writes=writes),
            shapes.schema(question, wording.labels, writes=writes),
        )
        request = body(self._name, pictures, f"{talk.instructions}\n{wording.text}", fields)
        with spans.span("ask the server"):
            answer = await self._server.complete(talk.client, request, talk.deadline, is_read.set)
        odds = _odds(answer, wording.labels)
        reply = Reply(odds.probabilities, shapes.object_in(answer.text) if writes else "")
        return _Answered(reply, answer, odds.is_stated)


@dataclass(frozen=True, slots=True)
class _Answered:
    reply: Reply
    completion: Completion
    is_stated: bool


@dataclass(frozen=True, slots=True)
class _Talk:
    """What all requests of one comparison share."""

    client: httpx2.AsyncClient
    turns: asyncio.Semaphore
    deadline: Deadline
    instructions: str


def _odds(answer: Completion, choices: Sequence[str]) -> labels.Odds:
    if not choices:
        return labels.Odds(())
    return labels.read(answer.tokens, choices) or labels.assumed(answer.text, choices)


def _named(names: Sequence[str], shown: Sequence[ShownImage]) -> _Named:
    return tuple((name, pictures.url(one)) for name, one in zip(names, shown, strict=True))


async def _until(stop: Stop, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; once `stop` has a reason all its connections are closed. Raises DeadlineExceeded."""
    task = asyncio.create_task(work)
    while not task.done() and stop.reason is None:
        await asyncio.wait({task}, timeout=POLL_S)
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        stop.check()
    return task.result()


async def _all(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread and a loop of its own: the caller's thread may have a loop already."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="chat") as thread:
        return thread.submit(spans.carried(asyncio.run), work).result()
