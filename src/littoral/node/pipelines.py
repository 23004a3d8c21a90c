"""Runs pipelines: performs the steps that their machine says, and has the last one answer.

The machine (serving/pipeline.py) decides. Each model step is a request of its own at the door, with
its own limits and receipt, of the caller who asked for the pipeline; the last one is the answer.

Rules
- Who may ask for a pipeline may have its steps done, whatever models their key names; passages are
  recalled for that caller alone.
- Nothing is begun unless every model and collection that is named is here and does what is wanted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, assert_never

import msgspec

from littoral.memory.prompting import filled, question_in, room_for, shortened, tokens_of
from littoral.node.entries import PIPELINE, Entries
from littoral.node.memory.embedding import Embedding
from littoral.node.memory.recalling import cited, sorted_by
from littoral.node.sourcing import no_memory
from littoral.serving import pipeline as steps
from littoral.serving.pipeline import PipelineMachine, Result, check_answers
from littoral.terms.collections import Memory
from littoral.terms.errors import (
    EngineFailedError,
    LittoralError,
    NotAllowedError,
    UnsupportedError,
)
from littoral.terms.facts import StepEnded
from littoral.terms.ids import ModelName, ReceiptId
from littoral.terms.limits import PASSAGES_USED_MAX, PIPELINE_WAIT_S
from littoral.terms.memory import Cited, Nearest, Recall, Search
from littoral.terms.pipelines import Embed, Generate, PipelineShown, Rerank
from littoral.terms.pipelines import Recall as RecallStep
from littoral.terms.ports import Answer, Clock, Door, Observe
from littoral.terms.reranking import Reranker
from littoral.terms.sources import Sources, StepDone
from littoral.terms.values import SECOND, Ask, Caller, Finish, Kind, Usage

__all__ = ["PipelineParts", "PipelineRuns"]

_SAMPLING: Final = (
    *("temperature", "top_p", "seed", "stop", "n", "user", "response_format"),
    *("presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"),
)
"""What a client may say of how the last step writes."""


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """What runs of pipelines use."""

    find: Callable[[str], Awaitable[PipelineShown]]
    """The pipeline of this name. Raises NotFoundError, ConflictError."""
    door: Door
    """Embeds."""
    run: Callable[[Ask, Caller], AbstractAsyncContextManager[Answer]]
    """Answers what is all said: steps that write."""
    entries: Entries
    bring: Callable[[ModelName, Caller], Awaitable[None]]
    memory: Memory | None
    reranker: Reranker
    clock: Clock
    observe: Observe


class PipelineRuns:
    """Answers requests to pipelines."""

    def __init__(self, parts: PipelineParts) -> None:
        self._parts = parts

    @asynccontextmanager
    async def answer(self, ask: Ask, caller: Caller) -> AsyncIterator[Answer]:
        """Do all steps but the last, then have that one answer; see `Door.answer`.

        Raises:
            NotFoundError: there is no such pipeline, or no such collection.
            NotAllowedError: the caller's key does not name it.
            UnsupportedError: it can't be run here, or not so.
            LittoralError: what a step raises, with its name.
        """
        shown = await self._found(ask, caller)
        question = question_in(ask.body)
        await self._check(shown, caller)
        machine = PipelineMachine(shown.pipeline, question, wait=int(PIPELINE_WAIT_S * SECOND))
        run = _Run(self._parts, shown, machine, replace(caller, models=None))
        write = await run.until_last()
        last = run.last(ask, question, write)
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(self._parts.run(last, caller))
            except LittoralError as error:
                raise run.broke(error) from None
            yield _Answered(answer, run)

    async def _found(self, ask: Ask, caller: Caller) -> PipelineShown:
        if caller.models is not None and ask.model not in caller.models:
            raise NotAllowedError(f"this key may not use {ask.model}", param="model")
        if ask.kind is not Kind.CHAT:
            raise UnsupportedError(
                f"{ask.model} is a pipeline, and does not do {ask.kind.value}",
                advice="ask it in a chat, a response or a message",
                param="model",
            )
        if ask.memory is not None:
            raise UnsupportedError(
                "a pipeline recalls what its steps say, and nothing else",
                advice="leave `memory` and the tool `file_search` out",
                param="memory",
            )
        if ask.body.get("tools"):
            raise UnsupportedError("a pipeline takes no tools", param="tools")
        return await self._parts.find(ask.model.removeprefix(PIPELINE))

    async def _check(self, shown: PipelineShown, caller: Caller) -> None:
        """See that all that it names is here, before anything is done."""
        check_answers(shown.pipeline)
        pipeline, parts = shown.pipeline, self._parts
        for name in dict.fromkeys(pipeline.models.values()):
            await parts.bring(ModelName(name), caller)
        for step in pipeline.steps:
            match step:
                case RecallStep(collection=collection):
                    if parts.memory is None:
                        raise no_memory()
                    await parts.memory.open(pipeline.collections[collection], caller)
                case Rerank(model=model):
                    parts.reranker.check(ModelName(pipeline.models[model]))
                case Embed(model=model):
                    self._check_kind(ModelName(pipeline.models[model]), Kind.EMBED)
                case Generate(model=model):
                    self._check_kind(ModelName(pipeline.models[model]), Kind.CHAT)
                case _:
                    assert_never(step)

    def _check_kind(self, model: ModelName, kind: Kind) -> None:
        if kind not in self._parts.entries.entry(model).kinds:
            raise UnsupportedError(
                f"{model} does not do {kind.value}, as a step of the pipeline wants",
                advice="define the pipeline with another model",
                param="model",
            )


class _Run:
    """One run of one pipeline for one caller."""

    def __init__(
        self, parts: PipelineParts, shown: PipelineShown, machine: PipelineMachine, caller: Caller
    ) -> None:
        self._parts = parts
        self._shown = shown
        self._machine = machine
        self._caller = caller
        self._embedding = Embedding(parts.door)
        self._within: list[Cited] = []
        """Passages that were shown to a step before the last."""
        self.done: list[StepDone] = []

    async def until_last(self) -> steps.Write:
        """Do all steps but the last; what that is to write."""
        event: steps.Event | None = steps.Begun()
        while event is not None:
            now, until = self._parts.clock.now(), self._machine.deadline()
            if isinstance(event, steps.Tick) and until is not None:
                now = max(now, until)  # its timer is another clock's
            effects, event = self._machine.step(event, now), None
            for effect in effects:
                match effect:
                    case steps.Tell() | steps.Fail():
                        self._hear(effect)
                    case steps.Answer(write):
                        return write
                    case _:
                        event = await self._performed(effect)
        raise AssertionError("a pipeline ends in an answer or in an error")

    def broke(self, error: LittoralError) -> LittoralError:
        """The error with the step that it is of."""
        for effect in self._machine.step(steps.Broke(error), self._parts.clock.now()):
            if isinstance(effect, steps.Tell):
                self._hear(effect)
        return error

    def finished(self) -> None:
        """The answer is over."""
        for effect in self._machine.step(steps.Finished(), self._parts.clock.now()):
            assert isinstance(effect, steps.Tell)
            self._hear(effect)

    def all_steps(self) -> tuple[StepDone, ...]:
        """Those that are done, and the last as far as it has come."""
        if self._machine.done:
            return tuple(self.done)
        last = self._shown.pipeline.steps[-1]
        elapsed = self._machine.elapsed_ms(self._parts.clock.now())
        return (*self.done, StepDone(last.name, "generate", elapsed))

    def last(self, ask: Ask, question: str, write: steps.Write) -> Ask:
        """The request for the answer."""
        body = {name: ask.body[name] for name in _SAMPLING if name in ask.body}
        most = ask.body.get("max_completion_tokens", ask.body.get("max_tokens"))
        if isinstance(most, int):
            write = replace(write, tokens_max=min(write.tokens_max, most))
        try:
            message, used = self._prompt(write)
        except LittoralError as error:
            raise self.broke(error) from None
        within = [each for each in self._within if each not in used]
        sources = Sources(
            question=question,
            passages=self._named((*used, *within)),
            pipeline=self._shown.pipeline.name,
            artifact=self._shown.artifact,
            steps=tuple(self.done),
        )
        body |= {
            "model": write.model,
            "messages": [message],
            "max_tokens": write.tokens_max,
        }
        return replace(ask, model=write.model, asked=ask.model, body=body, memory=sources)

    def _hear(self, effect: steps.Tell | steps.Fail) -> None:
        if isinstance(effect, steps.Fail):
            raise effect.error
        step = effect.step
        outcome = "failed" if effect.failed else "skipped" if step.skipped else "done"
        self._parts.observe(StepEnded(step.does, outcome, step.milliseconds / 1000))
        if not effect.failed:
            self.done.append(step)

    async def _performed(
        self, effect: steps.EmbedText | steps.Recalling | steps.Sort | steps.Write
    ) -> steps.Event:
        """What came of one step, within the time that is left."""
        until = self._machine.deadline()
        assert until is not None, "steps before the last have a deadline"
        left_s = max(0, until - self._parts.clock.now()) / SECOND
        try:
            async with asyncio.timeout(left_s):
                return steps.Gave(*await self._do(effect))
        except TimeoutError:
            return steps.Tick()
        except LittoralError as error:
            return steps.Broke(error)

    async def _do(
        self, effect: steps.EmbedText | steps.Recalling | steps.Sort | steps.Write
    ) -> tuple[Result, ReceiptId | None]:
        parts, caller = self._parts, self._caller
        match effect:
            case steps.EmbedText(model, text):
                (vector,) = await self._embedding.vectors(model, [text], caller)
                return vector, None
            case steps.Recalling():
                return await self._recalled(effect), None
            case steps.Sort(model, query, passages, most):
                best = await sorted_by(parts.reranker, model, query, passages, caller)
                return best[:most], None
            case steps.Write():
                return await self._written(effect)
            case _:
                assert_never(effect)

    async def _recalled(self, effect: steps.Recalling) -> tuple[Cited, ...]:
        memory = self._parts.memory
        assert memory is not None, "looked at before anything was begun"
        if isinstance(effect.query, str):
            recall = Recall(text=shortened(effect.query), limit=effect.most)
            found = await memory.recall(effect.collection, recall, self._caller)
            return found.passages
        collection = await memory.open(effect.collection, self._caller)
        nearest = Search(query=Nearest(effect.query), limit=effect.most)
        return tuple(cited(effect.collection, (await collection.search(nearest)).hits))

    async def _written(self, write: steps.Write) -> tuple[str, ReceiptId]:
        message, used = self._prompt(write)
        self._within += used
        body = {"model": write.model, "messages": [message], "max_tokens": write.tokens_max}
        raw = msgspec.json.encode(body)
        named = self._named(used)
        sources = Sources(question="", passages=named, artifact=self._shown.artifact)
        ask = Ask(
            *("chat.completions", Kind.CHAT, write.model, body),
            stream=False,
            raw=raw,
            memory=sources,
        )
        async with self._parts.run(ask, self._caller) as answer:
            pieces = []
            async for piece in answer.chunks:
                answer.sent(piece)
                pieces.append(piece)
            receipt = ReceiptId(answer.headers["littoral-receipt"])
            await answer.seal()
        return _text_of(b"".join(pieces), write.model), receipt

    def _named(self, passages: tuple[Cited, ...]) -> tuple[Cited, ...]:
        """The passages, which a receipt has room to name."""
        if len(passages) > PASSAGES_USED_MAX:
            raise UnsupportedError(
                f"steps of {self._shown.pipeline.name} use {len(passages)} passages, and an answer "
                f"may be made from {PASSAGES_USED_MAX}",
                advice="have its steps recall fewer: `most`",
                param="model",
            )
        return passages

    def _prompt(self, write: steps.Write) -> tuple[dict[str, object], tuple[Cited, ...]]:
        """The message to the model, and the passages in it."""
        texts = [write.prompt, *(each for each in write.uses.values() if isinstance(each, str))]
        context = self._parts.entries.entry(write.model).context_tokens
        room = room_for(context, write.tokens_max, sum(map(tokens_of, texts)))
        text, used = filled(write.prompt, write.uses, room)
        return {"role": "user", "content": text}, used


class _Answered:
    """The last step's answer, which knows of the others."""

    def __init__(self, answer: Answer, run: _Run) -> None:
        self._answer = answer
        self._run = run

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        return self._answer.chunks

    @property
    def sources(self) -> Sources | None:
        sources = self._answer.sources
        assert sources is not None, "they are in the request"
        return msgspec.structs.replace(sources, steps=self._run.all_steps())

    def sent(self, data: bytes) -> None:
        self._answer.sent(data)

    async def seal(self) -> bytes:
        self._run.finished()
        return await self._answer.seal()

    def outcome(self) -> tuple[Usage, Finish]:
        return self._answer.outcome()


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Chat(msgspec.Struct):
    choices: list[_Choice]


_decode: Final = msgspec.json.Decoder(_Chat).decode


def _text_of(body: bytes, model: ModelName) -> str:
    try:
        (choice,) = _decode(body).choices
    except (msgspec.MsgspecError, ValueError) as error:
        raise EngineFailedError(f"{model} has not answered with a text") from error
    return choice.message.content or ""
