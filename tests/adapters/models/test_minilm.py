"""The embedding model that is built here, against published values and against 32 bits."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from littoral.adapters.models.minilm import build, build_float
from littoral.adapters.models.safetensors import read_safetensors
from littoral.terms.errors import BadRequestError
from littoral.terms.values import ModelEntry
from tests.adapters.models.made import safetensors_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

PUBLISHED = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
"""The model's makers print its similarities for these in their first example."""


class Encoder:
    def __init__(self, model: Path, tokenizer: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(model))
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_truncation()
        self.tokenizer.enable_padding()

    def __call__(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        rows = self.tokenizer.encode_batch(list(texts))
        inputs = {
            "input_ids": np.array([row.ids for row in rows], np.int64),
            "attention_mask": np.array([row.attention_mask for row in rows], np.int64),
        }
        vectors: NDArray[np.float32] = self.session.run(["embedding"], inputs)[0]
        return vectors


@pytest.fixture(scope="module")
def encoder(minilm: ModelEntry) -> Encoder:
    return Encoder(Path(minilm.files[0].path), Path(minilm.files[1].path))


def test_similarities_are_the_published_ones(encoder: Encoder) -> None:
    vectors = encoder(PUBLISHED)
    expected = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    assert np.abs(vectors @ vectors.T - expected).max() < 0.03


def test_like_is_near_and_unlike_is_far(encoder: Encoder) -> None:
    cat, kitten, gpu = encoder(["cat", "kitten", "the GPU cluster has eight nodes"])
    assert cat @ kitten > 0.7
    assert abs(cat @ gpu) < 0.15


def test_vectors_have_length_one_whatever_the_padding(encoder: Encoder) -> None:
    vectors = encoder(["short", "a much longer text " * 40])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    # Dynamic quantisation scales by the batch, so alone and in company differ a little, and by how
    # much depends on the processor: 0.98 and more with instructions for int8, 0.97 without.
    assert encoder(["short"])[0] @ vectors[0] > 0.95


def test_a_text_as_long_as_the_context_is_encoded(encoder: Encoder) -> None:
    rows = encoder.tokenizer.encode("word " * 510)
    assert len(rows.ids) == 512
    assert np.isfinite(encoder(["word " * 510])).all()


# --- random weights of the same shape: the whole build, without the real ones ------------------


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    row = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes({"embeddings.word_embeddings.weight": row}, bytes(16)))
    with pytest.raises(BadRequestError, match="word_embeddings"):
        build_float(path, tmp_path / "out.onnx")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the names and shapes of the real ones."""
    generator = np.random.default_rng(7)
    table: dict[str, object] = {}
    pieces: list[bytes] = []
    start = 0
    for name, shape in SHAPES.items():
        values = generator.normal(0, 0.05, shape).astype(np.float32)
        if name.endswith("LayerNorm.weight"):
            values += 1
        pieces.append(values.tobytes())
        table[name] = {
            "dtype": "F32",
            "shape": list(shape),
            "data_offsets": [start, start + values.nbytes],
        }
        start += values.nbytes
    path = tmp_path_factory.mktemp("made") / "model.safetensors"
    path.write_bytes(safetensors_bytes(table, b"".join(pieces)))
    return path


def _shapes() -> dict[str, tuple[int, ...]]:
    def dense(name: str, outer: int, inner: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (outer, inner), f"{name}.bias": (outer,)}

    def norm(name: str) -> dict[str, tuple[int, ...]]:
        return {f"{name}.LayerNorm.weight": (384,), f"{name}.LayerNorm.bias": (384,)}

    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (100, 384),
        "embeddings.position_embeddings.weight": (512, 384),
        "embeddings.token_type_embeddings.weight": (2, 384),
        **norm("embeddings"),
    }
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= dense(f"{at}.attention.self.{part}", 384, 384)
        shapes |= dense(f"{at}.attention.output.dense", 384, 384) | norm(f"{at}.attention.output")
        shapes |= dense(f"{at}.intermediate.dense", 1536, 384)
        shapes |= dense(f"{at}.output.dense", 384, 1536) | norm(f"{at}.output")
    return shapes


SHAPES = _shapes()


def reference(weights: Path, ids: Sequence[int]) -> "NDArray[np.float64]":
    """BERT written out, one text, no fused operator: what the graph is held against."""
    raw, table = weights.read_bytes(), read_safetensors(weights)

    def w(name: str) -> "NDArray[np.float64]":
        at = table[name]
        piece = np.frombuffer(raw[at.start : at.start + at.size_bytes], np.float32)
        values: NDArray[np.float64] = piece.astype(np.float64).reshape(at.shape)
        return values

    def dense(x: "NDArray[np.float64]", name: str) -> "NDArray[np.float64]":
        product: NDArray[np.float64] = x @ w(f"{name}.weight").T
        return product + w(f"{name}.bias")

    def norm(x: "NDArray[np.float64]", name: str) -> "NDArray[np.float64]":
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        result: NDArray[np.float64] = scaled * w(f"{name}.LayerNorm.weight")
        return result + w(f"{name}.LayerNorm.bias")

    def heads(x: "NDArray[np.float64]") -> "NDArray[np.float64]":
        return x.reshape(len(ids), 12, 32).transpose(1, 0, 2)

    x = w("embeddings.word_embeddings.weight")[list(ids)]
    x = x + w("embeddings.position_embeddings.weight")[: len(ids)]
    x = norm(x + w("embeddings.token_type_embeddings.weight")[0], "embeddings")
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        q, k, v = (heads(dense(x, f"{at}.attention.self.{p}")) for p in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(32)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ v
        joined = mixed.transpose(1, 0, 2).reshape(len(ids), 384)
        x = norm(dense(joined, f"{at}.attention.output.dense") + x, f"{at}.attention.output")
        y = dense(x, f"{at}.intermediate.dense")
        erf = np.vectorize(math.erf)
        y = y * 0.5 * (1 + erf(y / np.sqrt(2)))
        x = norm(dense(y, f"{at}.output.dense") + x, f"{at}.output")
    pooled: NDArray[np.float64] = x.mean(0)
    return pooled / np.linalg.norm(pooled)


def run(model: Path, rows: Sequence[Sequence[int]]) -> "NDArray[np.float32]":
    longest = max(map(len, rows))
    ids = [[*row, *[0] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    session = onnxruntime.InferenceSession(str(model))
    inputs = {"input_ids": np.array(ids, np.int64), "attention_mask": np.array(mask, np.int64)}
    vectors: NDArray[np.float32] = session.run(["embedding"], inputs)[0]
    return vectors


def test_the_graph_computes_what_the_architecture_says(made: Path, tmp_path: Path) -> None:
    model = tmp_path / "float.onnx"
    build_float(made, model)
    rows = [[1, 5, 9, 2], [3, 7], [4] * 6]
    vectors = run(model, rows)
    for row, vector in zip(rows, vectors, strict=True):
        assert np.abs(vector - reference(made, row)).max() < 1e-5


def test_int8_stays_near_32_bits_and_is_a_quarter_of_the_size(made: Path, tmp_path: Path) -> None:
    full, small = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    build_float(made, full)
    build(made, small)
    generator = np.random.default_rng(3)
    rows = [generator.integers(1, 100, length).tolist() for length in range(3, 60, 2)]
    cosines = (run(full, rows) * run(small, rows)).sum(1)
    assert cosines.min() > 0.98
    assert small.stat().st_size < 0.3 * full.stat().st_size
    assert {path.name for path in tmp_path.iterdir()} == {"float.onnx", "int8.onnx"}


def test_the_same_weights_make_the_same_file(made: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.onnx", tmp_path / "2.onnx"
    build(made, first)
    build(made, second)
    assert first.read_bytes() == second.read_bytes()
