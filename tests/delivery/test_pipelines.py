"""Pipelines have a meaning when they are defined, and come back as they were signed."""

import base64
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from littoral.adapters.identity import verify
from littoral.delivery.pipelines import (
    PIPELINE_TYPE,
    Definition,
    encoded,
    opened_definition,
    read_pipeline,
    signed_definition,
)
from littoral.terms.errors import BadRequestError, RecordRejectedError
from littoral.terms.limits import PIPELINE_DOCUMENT_BYTES_MAX
from littoral.terms.pipelines import Embed, Generate, Recall, Rerank
from littoral.trust import dsse
from littoral.trust.decoding import ENCODER
from littoral.trust.names import digest_of
from tests.adapters.owner.made import identity

GOOD = '''
name = "handbook"
about = "Answers from the handbook."

[models]
embedder = "all-minilm-l6-v2"
sorter = "bge-reranker-base"
writer = "smollm2-135m"

[prompts]
answer = """Answer from these passages alone, in {{}} if there is nothing.
{passages}
{question}"""

[collections]
handbook = "handbook-2026"

[[steps]]
name = "vector"
does = "embed"
model = "embedder"
text = "input"

[[steps]]
name = "found"
does = "recall"
collection = "handbook"
query = "vector"
most = 20

[[steps]]
name = "best"
does = "rerank"
model = "sorter"
query = "input"
passages = "found"

[[steps]]
name = "answer"
does = "generate"
model = "writer"
prompt = "answer"
uses = { passages = "best", question = "input" }
'''


def test_what_is_written_is_what_is_read() -> None:
    pipeline = read_pipeline(GOOD)
    assert pipeline.name == "handbook"
    assert pipeline.steps == (
        Embed("vector", "embedder", "input"),
        Recall("found", "handbook", "vector", 20),
        Rerank("best", "sorter", "input", "found", 5),
        Generate("answer", "writer", "answer", {"passages": "best", "question": "input"}, 512),
    )


CHANGES: Mapping[str, tuple[str, str, str]] = {
    "an unknown step": ('does = "recall"', 'does = "summon"', "step 2 does 'summon', and a step"),
    "no kind of step": ('does = "recall"\n', "", "step 2 does None"),
    "a later step": ('query = "vector"', 'query = "best"', "'best', which comes later"),
    "itself": ('passages = "found"', 'passages = "best"', "neither the input nor a step"),
    "no step at all": ('text = "input"', 'text = "inpt"', "neither the input nor a step"),
    "a missing model": ('model = "sorter"', 'model = "sortr"', "'sortr', which is not in [models]"),
    "a missing prompt": ('prompt = "answer"', 'prompt = "reply"', "not in [prompts]"),
    "a missing collection": ('collection = "handbook"', 'collection = "book"', "not in [collect"),
    "the wrong kind": ('passages = "found"', 'passages = "vector"', "a vector, as passages"),
    "a text from passages": ('text = "input"', 'text = "input"\nmost = 3', "unknown field `most`"),
    "a name twice": ('name = "best"', 'name = "found"', "step 3 (found) has the name"),
    "the input's name": ('name = "vector"', 'name = "input"', "step 1 (input) has the name"),
    "an idle step": ('query = "vector"', 'query = "input"', "no step uses what 'vector' gives"),
    "an idle model": ("[models]", '[models]\nother = "x"', "no step uses 'other' of [models]"),
    "an idle prompt": ("[prompts]", '[prompts]\nother = "x"', "no step uses 'other' of [prompts]"),
    "a place that nothing fills": ("{question}", "{query}", "what {query} of its prompt is"),
    "what has no place": ("{question}", "", "its prompt has no {question}"),
    "a place with a form": ("{question}", "{question:>9}", "a name alone can stand there"),
    "a place in a place": ("{question}", "{question.x}", "a name alone can stand there"),
    "a single brace": ("{{}}", "{", "a brace of the text itself is written twice"),
    "a number out of range": ("most = 20", "most = 0", "step 2 (recall): Expected `int` >= 1"),
    "a bad name": ('name = "handbook"', 'name = "Hand Book"', "Expected `str` matching regex"),
    "an unknown member": ("about =", "abuot =", "unknown field `abuot`"),
    "no TOML": ("[models]", "[models", "it is no TOML"),
    "no steps": (GOOD[GOOD.index("[[steps]]") :], "", "it has no [[steps]]"),
    "steps that are no tables": (GOOD[GOOD.index("[models]") :], "steps = [3]", "no table"),
    "too long": ("Answers", "A" * PIPELINE_DOCUMENT_BYTES_MAX, "more than"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_has_no_meaning_is_refused_with_the_place(change: tuple[str, str, str]) -> None:
    old, new, why = change
    assert old in GOOD
    with pytest.raises(BadRequestError) as refused:
        read_pipeline(GOOD.replace(old, new, 1))
    assert why in refused.value.message


def test_too_many_steps_are_refused() -> None:
    step = GOOD[GOOD.index("[[steps]]") : GOOD.index("[[steps]]", GOOD.index("[[steps]]") + 1)]
    many = "".join(step.replace("vector", f"vector{each}") for each in range(65))
    with pytest.raises(BadRequestError, match="65 steps"):
        read_pipeline('name = "many"\n[models]\nembedder = "x"\n' + many)


@given(st.text(max_size=300))
def test_whatever_is_written_is_a_pipeline_or_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        read_pipeline(text)


def document(text: str = GOOD) -> bytes:
    return encoded(read_pipeline(text))


def test_the_same_pipeline_is_the_same_bytes_however_it_is_written() -> None:
    assert document() == document(GOOD.replace("most = 20", "most=20   # enough"))
    assert signed_definition(identity(1), document()) == signed_definition(identity(1), document())


def test_a_document_that_grows_over_the_bounds_is_refused() -> None:
    pipeline = read_pipeline(GOOD)
    prompts = {"answer": "{passages}{question}" + "\n" * 60_000, "b": "\n" * 60_000}
    grown = structs.replace(pipeline, prompts={**prompts, "c": "\n" * 60_000})
    with pytest.raises(BadRequestError, match="as JSON"):
        encoded(grown)


def test_a_definition_says_who_and_what() -> None:
    envelope = signed_definition(identity(1), document())
    pipeline, pop = opened_definition(document(), envelope, verify)
    assert pipeline == read_pipeline(GOOD)
    assert pop == identity(1).pop_id


@given(st.data())
def test_with_a_changed_byte_it_is_refused(data: st.DataObject) -> None:
    parts = [bytearray(document()), bytearray(signed_definition(identity(1), document()))]
    part = data.draw(st.sampled_from(parts))
    part[data.draw(st.integers(0, len(part) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RecordRejectedError):
        opened_definition(bytes(parts[0]), bytes(parts[1]), verify)


def test_a_definition_by_another_is_refused() -> None:
    key = base64.b64encode(identity(1).public_key).decode()
    said = Definition(digest_of(document()), identity(2).pop_id, key)
    sealed = dsse.sealed(PIPELINE_TYPE, ENCODER.encode(said), identity(1))
    with pytest.raises(RecordRejectedError, match="by another"):
        opened_definition(document(), ENCODER.encode(sealed), verify)


@pytest.mark.parametrize(
    "wrong",
    [b"", b"{}", b"[]", document().replace(b'"input"', b'"vectr"'), bytes(300_000)],
    ids=["nothing", "no members", "a list", "no meaning", "too long"],
)
def test_a_signature_makes_no_pipeline_of_anything_else(wrong: bytes) -> None:
    with pytest.raises(RecordRejectedError):
        opened_definition(wrong, signed_definition(identity(1), wrong), verify)
