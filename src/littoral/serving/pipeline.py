"""A pipeline that runs, as a machine: which step is next, of what, and what it gave.

    new --Begun--> working --Gave--> working | answering
    working --Broke--> done          the error, with the step that it is of
    working --Tick, too late--> done
    answering --Finished--> done     the last step is an answer, and goes to the client as it comes

Rules
- A step begins once what it uses is there; one after the other, in the order of the pipeline.
- Each step that has begun is told of once, with how long it took.
- Sorting is left out where it changes nothing: one passage, or a first one that the search was sure
  of by the step's own measure.
- The last step writes; a pipeline that ends otherwise answers no chat.

It asks no model and looks into no collection; prompts are filled by whoever knows the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from msgspec import UnsetType

from littoral.terms.errors import LittoralError, StoreError, UnsupportedError
from littoral.terms.ids import ModelName, ReceiptId
from littoral.terms.memory import Cited
from littoral.terms.pipelines import INPUT, Embed, Generate, Pipeline, Recall, Rerank
from littoral.terms.sources import StepDone
from littoral.terms.values import SECOND, Instant

__all__ = [
    "Answer",
    "Begun",
    "Broke",
    "EmbedText",
    "Effect",
    "Event",
    "Fail",
    "Finished",
    "Gave",
    "PipelineMachine",
    "Recalling",
    "Result",
    "Sort",
    "Tell",
    "Tick",
    "Write",
    "check_answers",
    "is_sure",
]

Result = str | bytes | tuple[Cited, ...]
"""A text, a packed vector, or passages."""


# --- events ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    """Everything that the pipeline names is here."""


@dataclass(frozen=True, slots=True)
class Gave:
    """The step that was to be done gave this."""

    result: Result
    receipt_id: ReceiptId | None = None


@dataclass(frozen=True, slots=True)
class Broke:
    """It gave nothing."""

    error: LittoralError


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is over."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = Begun | Gave | Broke | Finished | Tick


# --- effects --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EmbedText:
    """Make a vector of a text."""

    model: ModelName
    text: str


@dataclass(frozen=True, slots=True)
class Recalling:
    """Find passages by a text or a vector."""

    collection: str
    query: str | bytes
    most: int


@dataclass(frozen=True, slots=True)
class Sort:
    """Sort passages by how well they answer a text, and keep the best."""

    model: ModelName
    query: str
    passages: tuple[Cited, ...]
    most: int


@dataclass(frozen=True, slots=True)
class Write:
    """Have a model write a text for a step within."""

    model: ModelName
    prompt: str
    """With a `{name}` for each use."""
    uses: Mapping[str, str | tuple[Cited, ...]]
    tokens_max: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Have a model write the answer."""

    write: Write


@dataclass(frozen=True, slots=True)
class Tell:
    """A step is over."""

    step: StepDone
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """Tell the client."""

    error: LittoralError


Effect = EmbedText | Recalling | Sort | Write | Answer | Tell | Fail


class PipelineMachine:
    """One run of one pipeline. See the module docstring for its states and rules."""

    def __init__(self, pipeline: Pipeline, text: str, *, wait: int) -> None:
        """Do nothing yet.

        Args:
            pipeline: what is run; it has passed the checks of its room, and `check_answers`.
            text: the input.
            wait: nanoseconds that all steps before the last may take.
        """
        self._pipeline = pipeline
        self._results: dict[str, Result] = {INPUT: text}
        self._wait = wait
        self._until: Instant | None = None
        self._place = -1
        self._began = Instant(0)
        self._told = 0
        self._started = 0
        self.done = False
        """Nothing is left to do."""

    def deadline(self) -> Instant | None:
        """When the steps before the last have taken too long."""
        return self._until

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event and say what to do, in order."""
        if self.done:
            return ()
        match event:
            case Begun():
                assert self._place < 0, "it begins once"
                self._until = Instant(now + self._wait)
                return self._next(now)
            case Gave(result, receipt_id):
                step = self._step
                self._results[step.name] = result
                return (self._over(now, receipt_id=receipt_id), *self._next(now))
            case Broke(error):
                return self._broke(error, now)
            case Finished():
                self.done = True
                return (self._over(now),)
            case Tick():
                if self._until is None or now < self._until:
                    return ()
                late = StoreError(
                    f"the steps before the answer have taken more than {self._wait / SECOND:g} s",
                    advice="ask again, or make the pipeline shorter",
                )
                return self._broke(late, now)
            case _:
                assert_never(event)

    def elapsed_ms(self, now: Instant) -> float:
        """How long the step that is being done has taken until now."""
        return round((now - self._began) / 1e6, 3)

    @property
    def _step(self) -> Embed | Recall | Rerank | Generate:
        return self._pipeline.steps[self._place]

    def _next(self, now: Instant) -> Sequence[Effect]:
        effects: list[Effect] = []
        while True:
            self._place += 1
            self._began = now
            self._started += 1
            effect = self._work(self._step)
            if not isinstance(effect, tuple):
                return (*effects, effect)
            self._results[self._step.name] = effect
            effects.append(self._over(now, skipped=True))

    def _work(self, step: Embed | Recall | Rerank | Generate) -> Effect | tuple[Cited, ...]:
        """What is to be done for a step, or what it gives where nothing is."""
        names = self._pipeline.models
        match step:
            case Embed():
                return EmbedText(ModelName(names[step.model]), self._text(step.text))
            case Recall():
                query = self._results[step.query]
                assert not isinstance(query, tuple), "checked when it was defined"
                return Recalling(self._pipeline.collections[step.collection], query, step.most)
            case Rerank():
                passages = self._results[step.passages]
                assert isinstance(passages, tuple), "checked when it was defined"
                sure = None if isinstance(step.sure, UnsetType) else step.sure
                if len(passages) <= 1 or is_sure([each.score for each in passages], sure):
                    return passages[: step.most]
                model = ModelName(names[step.model])
                return Sort(model, self._text(step.query), passages, step.most)
            case Generate():
                return self._writes(step)
            case _:
                assert_never(step)

    def _writes(self, step: Generate) -> Effect:
        uses: dict[str, str | tuple[Cited, ...]] = {}
        for name, used in step.uses.items():
            value = self._results[used]
            assert not isinstance(value, bytes), "checked when it was defined"
            uses[name] = value
        model = ModelName(self._pipeline.models[step.model])
        write = Write(model, self._pipeline.prompts[step.prompt], uses, step.tokens_max)
        if self._place < len(self._pipeline.steps) - 1:
            return write
        self._until = None
        return Answer(write)

    def _text(self, name: str) -> str:
        value = self._results[name]
        assert isinstance(value, str), "checked when it was defined"
        return value

    def _over(
        self, now: Instant, *, receipt_id: ReceiptId | None = None, skipped: bool = False
    ) -> Tell:
        step = self._step
        self._told += 1
        does = str(step.__struct_config__.tag)
        return Tell(StepDone(step.name, does, self.elapsed_ms(now), receipt_id, skipped))

    def _broke(self, error: LittoralError, now: Instant) -> Sequence[Effect]:
        self.done, self._until = True, None
        if self._place < 0:
            return (Fail(error),)
        step, told = self._step, self._over(now)
        where = f"step {step.name!r} ({told.step.does}) of {self._pipeline.name}"
        if where not in error.message:
            error.message = f"{where}: {error.message}"
        return (Tell(told.step, failed=True), Fail(error))

    def check(self) -> None:
        """Assert what must hold between any two events."""
        assert self._told <= self._started <= self._told + 1
        assert not self.done or self._until is None


def check_answers(pipeline: Pipeline) -> None:
    """See that a pipeline answers a chat.

    Raises:
        UnsupportedError: its last step does not write.
    """
    if not isinstance(pipeline.steps[-1], Generate):
        raise UnsupportedError(
            f"the last step of {pipeline.name} does not generate, so that it answers no chat",
            advice="end it with a step that generates",
            param="model",
        )


def is_sure(scores: Sequence[float], margin: float | None) -> bool:
    """Whether the first of a ranking stands apart: sorting what follows would not change the best.

    Args:
        scores: best first, at least two.
        margin: the share of the first score by which the second is lower; None is never sure.
    """
    if margin is None or scores[0] <= 0:
        return False
    return (scores[0] - scores[1]) / scores[0] >= margin
