"""A pipeline that runs: which step is next, of what; values in, values out."""

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from littoral.delivery.pipelines import read_pipeline
from littoral.serving.pipeline import (
    Answer,
    Begun,
    Broke,
    Effect,
    EmbedText,
    Event,
    Fail,
    Finished,
    Gave,
    PipelineMachine,
    Recalling,
    Sort,
    Tell,
    Tick,
    Write,
    check_answers,
    is_sure,
)
from littoral.terms.errors import EngineLostError, StoreError, UnsupportedError
from littoral.terms.ids import ReceiptId
from littoral.terms.pipelines import Pipeline
from littoral.terms.values import SECOND, Instant
from tests.delivery.test_pipelines import GOOD
from tests.memory.cited import cited

PIPELINE: Final = read_pipeline(GOOD)
PASSAGES: Final = (cited("one", score=0.9), cited("two", score=0.85), cited("three", score=0.1))
WAIT: Final = 5 * SECOND


def machine(pipeline: Pipeline = PIPELINE) -> PipelineMachine:
    return PipelineMachine(pipeline, "How?", wait=WAIT)


def ran(runs: PipelineMachine, *events: Event) -> Sequence[Effect]:
    """What is said to the last of these, a millisecond apart."""
    said: Sequence[Effect] = ()
    for place, event in enumerate(events, 1):
        said = runs.step(event, Instant(place * 1_000_000))
        runs.check()
    return said


def test_each_step_gets_what_those_before_it_gave_and_the_last_is_the_answer() -> None:
    runs = machine()
    assert ran(runs, Begun()) == (EmbedText(PIPELINE.models["embedder"], "How?"),)  # type: ignore[arg-type]
    told, found = ran(runs, Gave(b"vector"))
    assert isinstance(told, Tell)
    assert (told.step.name, told.step.does) == ("vector", "embed")
    assert found == Recalling("handbook-2026", b"vector", 20)
    _, sort = ran(runs, Gave(PASSAGES))
    assert isinstance(sort, Sort)
    assert (sort.query, sort.passages, sort.most) == ("How?", PASSAGES, 5)
    best = (PASSAGES[1], PASSAGES[0])
    _, answer = ran(runs, Gave(best))
    assert isinstance(answer, Answer)
    assert answer.write.uses == {"passages": best, "question": "How?"}
    assert runs.deadline() is None, "an answer has its own bounds"
    (last,) = ran(runs, Finished())
    assert isinstance(last, Tell)
    assert runs.done


def test_each_step_says_how_long_it_took_and_which_receipt_its_model_gave() -> None:
    runs = machine()
    runs.step(Begun(), Instant(0))
    told, _ = runs.step(Gave(b"v", ReceiptId("rcpt_1")), Instant(2_500_000))
    assert isinstance(told, Tell)
    assert (told.step.milliseconds, told.step.receipt_id) == (2.5, "rcpt_1")


@pytest.mark.parametrize("passages", [(), PASSAGES[:1]])
def test_what_is_too_little_to_be_sorted_is_not(passages: tuple[object, ...]) -> None:
    runs = machine()
    _, skipped, answer = ran(runs, Begun(), Gave(b"v"), Gave(passages))  # type: ignore[arg-type]
    assert isinstance(skipped, Tell)
    assert skipped.step.skipped
    assert isinstance(answer, Answer)


def test_a_ranking_that_is_sure_of_its_first_by_the_steps_own_measure_is_left_as_it_is() -> None:
    rerank = structs.replace(PIPELINE.steps[2], sure=0.3)
    steps = (*PIPELINE.steps[:2], rerank, *PIPELINE.steps[3:])
    sure = structs.replace(PIPELINE, steps=steps)
    apart = (cited("one", score=1.0), cited("two", score=0.5))
    _, skipped, answer = ran(machine(sure), Begun(), Gave(b"v"), Gave(apart))
    assert isinstance(skipped, Tell)
    assert skipped.step.skipped
    assert isinstance(answer, Answer)
    assert isinstance(ran(machine(sure), Begun(), Gave(b"v"), Gave(PASSAGES))[-1], Sort)
    assert not is_sure([1.0, 0.0], None)
    assert not is_sure([0.0, -1.0], 0.1), "no share of nothing"


def test_an_error_ends_it_and_says_which_step_it_is_of() -> None:
    error = EngineLostError("the worker died")
    told, fail = ran(machine(), Begun(), Gave(b"v"), Broke(error))
    assert told == Tell(told.step, failed=True)  # type: ignore[union-attr]
    assert isinstance(fail, Fail)
    assert str(fail.error).startswith("step 'found' (recall) of handbook: the worker died")


def test_what_takes_too_long_ends_in_the_step_that_is_under_way() -> None:
    runs = machine()
    assert runs.step(Begun(), Instant(0))
    assert runs.deadline() == WAIT
    assert runs.step(Tick(), Instant(WAIT - 1)) == ()
    _, fail = runs.step(Tick(), Instant(WAIT))
    assert isinstance(fail, Fail)
    assert isinstance(fail.error, StoreError)
    assert "'vector'" in fail.error.message
    assert runs.step(Gave(b"late"), Instant(WAIT + 1)) == ()


def test_a_step_that_writes_before_the_last_gives_its_text_to_others() -> None:
    text = GOOD.replace(
        'name = "answer"\ndoes = "generate"',
        'name = "draft"\ndoes = "generate"\nmodel = "writer"\nprompt = "answer"\n'
        'uses = { passages = "best", question = "input" }\n\n[[steps]]\n'
        'name = "answer"\ndoes = "generate"',
    )
    text = 'question = "draft" }'.join(text.rsplit('question = "input" }', 1))
    runs = machine(read_pipeline(text))
    _, write = ran(runs, Begun(), Gave(b"v"), Gave(PASSAGES), Gave(PASSAGES))
    assert isinstance(write, Write)
    _, answer = ran(runs, Gave("a draft"))
    assert isinstance(answer, Answer)
    assert answer.write.uses["question"] == "a draft"


def test_a_pipeline_that_ends_in_passages_answers_no_chat() -> None:
    check_answers(PIPELINE)
    with pytest.raises(UnsupportedError, match="does not generate"):
        check_answers(structs.replace(PIPELINE, steps=PIPELINE.steps[:2]))


@given(st.lists(st.integers(0, 2 * WAIT), max_size=8), st.booleans())
def test_whatever_the_time_is_each_step_that_began_is_told_of_at_most_once(
    moments: list[int], breaks: bool
) -> None:
    runs = machine()
    results: list[Event] = [Gave(b"v"), Gave(PASSAGES), Gave(PASSAGES), Finished()]
    said = [*runs.step(Begun(), Instant(0))]
    for moment, result in zip(sorted(moments), results, strict=False):
        said += runs.step(Tick(), Instant(moment))
        said += runs.step(Broke(EngineLostError("x")) if breaks else result, Instant(moment))
        runs.check()
    names = [effect.step.name for effect in said if isinstance(effect, Tell)]
    assert len(names) == len(set(names))
    assert sum(isinstance(effect, Fail) for effect in said) <= 1
