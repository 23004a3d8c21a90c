"""A cross-encoder in a real worker of ONNX Runtime: what it scores, cuts and refuses."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from littoral.adapters.engines.cross_encoder import CrossEncoder, NoScoreError
from littoral.adapters.models import Catalogue, add, parse_source
from littoral.terms.errors import (
    BadRequestError,
    ContextLengthError,
    EngineStartError,
    UnsupportedError,
)
from littoral.terms.values import Kind, ModelEntry
from tests.adapters.crossed import made_folder, model_bytes, tokenizer_json
from tests.adapters.engines.running import Running, running
from tests.adapters.models.conftest import ignore

QUESTION = "when does the tide turn"
TEXTS = ["salt stays", "the tide turns at six", "the moon", "when does the tide turn"]


def added(folder: Path) -> ModelEntry:
    made = made_folder(folder / "overlap")
    return add(Catalogue(folder / "models"), parse_source(str(made)), ignore)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(added(tmp_path), tmp_path, threads=2) as subject:
        yield subject


def asked(query: str = QUESTION, **more: object) -> dict[str, object]:
    return {"model": "overlap", "query": query, "documents": TEXTS, **more}


async def test_a_worker_scores_cuts_counts_and_refuses(engine: Running) -> None:
    said = await engine.body(asked(), Kind.RERANK)
    assert [(one["index"], one["relevance_score"]) for one in said["results"]] == [
        *((3, 5.0), (1, 2.0), (2, 1.0), (0, 0.0))
    ]
    tokens = sum(3 + 5 + len(text.split()) for text in TEXTS)
    assert said["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert await engine.engine.count(engine.call(asked(), Kind.RERANK)) == tokens

    said = await engine.body(asked(top_n=1, return_documents=True), Kind.RERANK)
    (only,) = said["results"]
    assert only["document"] == {"text": TEXTS[3]}

    # 24 tokens are three marks, the question, and the first of the passage.
    room = 24 - 3 - 5
    long = "salt " * (room - 1)
    said = await engine.body(asked(documents=[f"{long} tide", f"{long} salt tide"]), Kind.RERANK)
    assert [one["relevance_score"] for one in said["results"]] == [1.0, 0.0]
    assert said["usage"]["total_tokens"] == 2 * 24

    said = await engine.body(asked("salt " * 20, documents=["salt tide"]), Kind.RERANK)
    assert said["results"][0]["relevance_score"] == 20.0
    with pytest.raises(ContextLengthError, match=r"the query is 21 tokens .* at most 20"):
        await engine.body(asked("salt " * 21), Kind.RERANK)
    cut = asked("salt " * 10 + "tide " * 20, documents=["salt", "tide"], truncate_prompt_tokens=-1)
    said = await engine.body(cut, Kind.RERANK)
    assert [one["relevance_score"] for one in said["results"]] == [10.0, 0.0]

    many = asked("tide", documents=["tide"] * 150 + [""])
    said = await engine.body(many, Kind.RERANK)
    assert [one["index"] for one in said["results"]] == [*range(151)]
    assert said["results"][150]["relevance_score"] == 0.0

    for body in (asked(documents=[]), asked(documents=["a", 1]), asked(""), asked(top_n=0.5)):
        with pytest.raises(BadRequestError):
            await engine.body(body, Kind.RERANK)
    with pytest.raises(UnsupportedError, match="sorts passages"):
        await engine.body({"input": "a"}, Kind.EMBED)


async def test_a_model_that_gives_no_score_is_not_ready_and_says_why(tmp_path: Path) -> None:
    folder = made_folder(tmp_path / "overlap")
    (folder / "onnx/model.onnx").write_bytes(model_bytes(outputs=("a", "b")))
    entry = add(Catalogue(tmp_path / "models"), parse_source(str(folder)), ignore)
    with pytest.raises(EngineStartError, match="it has no output logits, but a, b"):
        async with running(entry, tmp_path):
            pass


def loaded(folder: Path, model: bytes, *, squashed: bool = False) -> CrossEncoder:
    (folder / "model.onnx").write_bytes(model)
    (folder / "tokenizer.json").write_text(tokenizer_json())
    paths = str(folder / "model.onnx"), str(folder / "tokenizer.json")
    return CrossEncoder(*paths, context_tokens=64, threads=1, squashed=squashed)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (model_bytes(numbers=2), "has 2 numbers and not one"),
        (model_bytes(more="pixel_values"), "it reads attention_mask, input_ids, pixel_values"),
    ],
)
def test_a_model_of_another_kind_is_known_when_it_is_loaded(
    tmp_path: Path, model: bytes, why: str
) -> None:
    with pytest.raises(NoScoreError, match=why):
        loaded(tmp_path, model)


def test_scores_are_pressed_between_0_and_1_where_makers_say_so(tmp_path: Path) -> None:
    model = loaded(tmp_path, model_bytes(outputs=("score",)), squashed=True)
    pairs = model.pairs("tide", ["tide tide", "salt"])
    squashed = 1 / (1 + math.exp(-2))
    assert model.scores(pairs, lambda: True) == pytest.approx([squashed, 0.5])
