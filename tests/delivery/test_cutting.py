"""Files are cut so that what two of them have in common need not be fetched twice."""

import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.delivery.cutting import (
    FREE_CHUNKS,
    LARGE_PIECE_BYTES,
    LARGE_TENSOR_BYTES,
    MEAN_BYTES_MIN,
    PIECE_BYTES,
    Cut,
    cut_file,
    decode_tensors,
)
from littoral.delivery.gguf import parse_gguf
from littoral.delivery.manifest import FileFormat
from littoral.delivery.tables import CUT_BYTES, check_cuts, cuts_of
from littoral.terms.errors import BadRequestError
from littoral.terms.values import ModelEntry
from tests.adapters.models.made import gguf_bytes, gguf_of, safetensors_bytes

Tensors = Mapping[str, bytes]
Make = Callable[[Tensors, Mapping[str, object]], bytes]


def cut(path: str, data: bytes) -> Cut:
    made = cut_file(path, len(data), io.BytesIO(data).read)
    check_cuts(made.cuts, len(data), hashed=False)
    return made


def spans(made: Cut) -> list[tuple[int, int]]:
    return list(cuts_of(made.cuts, hashed=False))


def fetched(path: str, before: bytes, after: bytes) -> int:
    """Bytes of the second that are in no chunk of the first."""
    held = {hash_of(before, span) for span in spans(cut(path, before))}
    return sum(span[1] for span in spans(cut(path, after)) if hash_of(after, span) not in held)


def hash_of(data: bytes, span: tuple[int, int]) -> bytes:
    return blake3(memoryview(data)[span[0] : sum(span)]).digest()


def noise(seed: int, size: int) -> bytes:
    return blake3(b"%d" % seed).digest(length=size)


def model(layers: int = 6) -> dict[str, bytes]:
    """Tensors as a small language model has them: one large, some of middle size, many small."""
    tensors = {"embed": noise(0, 12_000_000)}
    for layer in range(layers):
        tensors[f"{layer}.norm"] = noise(layer * 9 + 1, 2_304)
        tensors[f"{layer}.bias"] = noise(layer * 9 + 2, 576)
        tensors[f"{layer}.up"] = noise(layer * 9 + 3, 3_538_944)
        tensors[f"{layer}.down"] = noise(layer * 9 + 4, 1_769_472)
    return tensors


def safetensors(tensors: Tensors, about: Mapping[str, object]) -> bytes:
    table: dict[str, object] = {"__metadata__": about}
    at = 0
    for name, data in tensors.items():
        span = [at, at + len(data)]
        table[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": span}
        at += len(data)
    return safetensors_bytes(table, b"".join(tensors.values()))


def gguf(tensors: Tensors, about: Mapping[str, object]) -> bytes:
    words = [f"word {number} of many" for number in range(40_000)]
    values = {**about, "tokenizer.ggml.tokens": words, "tokenizer.ggml.scores": list(range(40_000))}
    return gguf_of(values, tensors)


FORMATS = pytest.mark.parametrize(
    ("path", "make"), [("m.safetensors", safetensors), ("m.gguf", gguf)]
)


@FORMATS
def test_an_edit_of_metadata_fetches_a_thousandth(path: str, make: Make) -> None:
    before = make(model(), {"general.name": "one"})
    after = make(model(), {"general.name": "another name", "general.license": "mit"})
    assert 0 < fetched(path, before, after) <= len(after) / 1000


@FORMATS
def test_a_reorder_of_tensors_fetches_a_thousandth(path: str, make: Make) -> None:
    tensors = model()
    before, after = make(tensors, {}), make(dict(sorted(tensors.items(), reverse=True)), {})
    assert 0 < fetched(path, before, after) <= len(after) / 1000


@FORMATS
def test_a_changed_layer_fetches_that_layer(path: str, make: Make) -> None:
    tensors = model()
    changed = {name: noise(99, len(data)) for name, data in tensors.items() if name[:2] == "3."}
    before, after = make(tensors, {}), make({**tensors, **changed}, {})
    layer = sum(map(len, changed.values()))
    assert layer <= fetched(path, before, after) <= 1.1 * layer


@FORMATS
def test_a_shard_of_a_model_fetches_its_header(path: str, make: Make) -> None:
    tensors = model()
    half = dict(list(tensors.items())[len(tensors) // 2 :])
    assert fetched(path, make(tensors, {}), make(half, {})) <= 20_000


@FORMATS
def test_tensors_are_listed_with_their_places(path: str, make: Make) -> None:
    tensors = model(1)
    data = make(tensors, {})
    made = cut(path, data)
    assert made.tensors is not None
    rows = decode_tensors(made.tensors)
    assert [row.name for row in rows] == list(tensors)
    starts = {start for start, _ in spans(made)}
    for row in rows:
        assert data[row.start :].startswith(tensors[row.name])
        assert 0 <= row.size_bytes - len(tensors[row.name]) < 32
        assert row.start in starts


def test_the_real_model_keeps_its_chunks_when_its_name_is_edited(smollm2: ModelEntry) -> None:
    before = Path(smollm2.files[0].path).read_bytes()
    key = b"general.license"
    at = before.index(key) - 8
    layout = parse_gguf("m.gguf", len(before), io.BytesIO(before).read)
    last = layout.tensors[-1].name.encode()
    end = (
        before.rindex(last, 0, layout.data_start)
        + len(last)
        + 4
        + 8 * len(layout.tensors[-1].shape)
        + 12
    )
    name = b"general.remark"
    added = struct.pack("<Q", len(name)) + name + struct.pack("<IQ", 8, 40) + b"x" * 40
    entries = struct.unpack_from("<Q", before, 16)[0]
    head = before[:16] + struct.pack("<Q", entries + 1) + before[24:at] + added + before[at:end]
    after = head + b"\0" * (-len(head) % 32) + before[layout.data_start :]
    made = cut("m.gguf", after)
    assert made.format is FileFormat.GGUF
    assert 0 < fetched("m.gguf", before, after) <= len(after) / 1000


SHAPES: Sequence[tuple[int, int, int]] = [
    (PIECE_BYTES, PIECE_BYTES, 1),
    (PIECE_BYTES + 1, PIECE_BYTES, 2),
    (LARGE_TENSOR_BYTES, PIECE_BYTES, 256),
    (LARGE_TENSOR_BYTES + 1, LARGE_PIECE_BYTES, 65),
]


@pytest.mark.parametrize(("size", "piece", "count"), SHAPES)
def test_a_tensor_is_cut_in_pieces_by_its_size(size: int, piece: int, count: int) -> None:
    found = [
        length
        for start, length in tensor_cuts(size_bytes=size + PIECE_BYTES, tensors={"a": (0, size)})
        if 0 <= start < size
    ]
    assert (len(found), max(found)) == (count, piece)


def test_a_huge_tensor_of_a_huge_file_is_cut_in_huge_pieces() -> None:
    tensors = {"a": (0, 300 * 2**20), "b": (300 * 2**20, 100 * 2**20)}
    found = tensor_cuts(size_bytes=21 * 10**9, tensors=tensors)
    sizes = dict(found)
    assert sizes[0] == 4 * 2**20
    assert sizes[300 * 2**20] == 2**20


def tensor_cuts(
    *, size_bytes: int, tensors: Mapping[str, tuple[int, int]]
) -> list[tuple[int, int]]:
    """Where a safetensors file that is not there is cut, counted from where its data begins."""
    table = {
        name: {"dtype": "U8", "shape": [size], "data_offsets": [start, start + size]}
        for name, (start, size) in tensors.items()
    }
    head = safetensors_bytes(table, b"")
    made = cut_file("a.safetensors", len(head) + size_bytes, io.BytesIO(head).read)
    assert made.format is FileFormat.SAFETENSORS
    return [(start - len(head), size) for start, size in spans(made)]


def test_plain_files_are_cut_at_fixed_distances_and_not_read() -> None:
    def read(least: int) -> bytes:
        raise AssertionError("nothing is to be read")

    small = spans(cut_file("a.json", 600_000, read))
    assert small == [(0, 262_144), (262_144, 262_144), (524_288, 75_712)]
    large = spans(cut_file("a.onnx", 300 * 2**20, read))
    assert {size for _, size in large} == {2**20}
    assert cut_file("a.gguf", PIECE_BYTES, read).cuts == cut_file("b", PIECE_BYTES, read).cuts
    assert cut_file("none", 0, read) == Cut(FileFormat.PLAIN, b"", None)


def test_a_file_without_a_suffix_is_told_by_its_first_bytes() -> None:
    data = gguf(model(1), {})
    assert cut("blobs/model", data) == cut("m.gguf", data)
    assert cut("blobs/model.bin", data).format is FileFormat.PLAIN


def test_a_file_of_nothing_but_small_tensors_is_cut_as_a_plain_one() -> None:
    tensors = {f"{number}": b"%04d" % number for number in range(FREE_CHUNKS)}
    data = safetensors({**tensors, "large": noise(1, PIECE_BYTES)}, {})
    assert len(data) < FREE_CHUNKS * MEAN_BYTES_MIN
    made = cut("m.safetensors", data)
    assert made.format is FileFormat.PLAIN
    assert len(made.cuts) // CUT_BYTES <= len(data) // PIECE_BYTES + 1


HOSTILE = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=80).map(lambda tail: b"GGUF" + tail),
    st.binary(max_size=60).map(lambda tail: b"GGUF" + struct.pack("<IQQ", 3, 2, 1) + tail),
    st.recursive(
        st.none() | st.integers(-3, 400_000) | st.text(max_size=4) | st.just("F8_E4M3"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["dtype", "shape", "data_offsets", "a", "\ud800"]),
                inner,
                max_size=4,
            )
        ),
    ).map(lambda table: safetensors_bytes(json_of(table), b"")),
    st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 300_000)), max_size=9).map(
        lambda rows: safetensors_bytes(
            {
                f"\ud800{at}": {"dtype": "\udfff", "shape": [7], "data_offsets": sorted(row)}
                for at, row in enumerate(rows)
            },
            b"",
        )
    ),
)


def json_of(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {"a": value}


@settings(max_examples=400, deadline=None)
@given(HOSTILE, st.integers(0, 4), st.sampled_from(["a", "a.gguf", "a.safetensors", "b/a.bin"]))
def test_whatever_a_header_says_the_file_is_covered_once_and_in_order(
    head: bytes, pieces: int, path: str
) -> None:
    data = head + b"\0" * (pieces * 100_000)
    made = cut(path, data)
    assert all(start + size == after for (start, size), (after, _) in pairwise(spans(made)))
    if made.tensors is not None:
        assert all(row.start <= len(data) for row in decode_tensors(made.tensors))


def test_a_good_header_that_is_damaged_anywhere_still_covers_the_file() -> None:
    good = gguf_bytes(data=noise(3, 300_000))
    for at in range(len(good) - 300_000):
        cut("m.gguf", good[:at] + b"\xff" + good[at + 1 :])


def test_how_bytes_are_handed_over_does_not_matter() -> None:
    data = gguf(model(1), {})
    file = io.BytesIO(data)
    assert cut_file("m.gguf", len(data), lambda least: file.read(least + 777)) == cut(
        "m.gguf", data
    )


@pytest.mark.parametrize("data", [b"", b"{}", b"[[1]]", b'[["a","F32",[1],-1,4]]', b"\xff"])
def test_what_is_no_list_of_tensors_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestError):
        decode_tensors(data)


def test_a_list_of_tensors_is_plain_json() -> None:
    made = cut("m.safetensors", safetensors({"a": noise(1, 300_000)}, {}))
    assert made.tensors is not None
    ((name, dtype, shape, _, size),) = json.loads(made.tensors)
    assert (name, dtype, shape, size) == ("a", "U8", [300_000], 300_000)
