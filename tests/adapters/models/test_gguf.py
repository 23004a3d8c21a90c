"""The GGUF reader: what it says of good files, and that no bad one gets past or breaks it."""

import hashlib
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from littoral.adapters.models.gguf import GgufHeader, read_gguf
from littoral.terms.errors import BadRequestError
from littoral.terms.values import ModelEntry
from tests.adapters.models.made import TINY, gguf_bytes


def header_of(folder: Path, content: bytes) -> GgufHeader:
    path = folder / "m.gguf"
    path.write_bytes(content)
    return read_gguf(path)


def test_the_real_model_says_what_is_known_of_it(smollm2: ModelEntry) -> None:
    header = read_gguf(Path(smollm2.files[0].path))
    assert header.architecture == "llama"
    assert header.context_tokens == 8192
    assert header.kv_bytes_per_token == 23_040
    assert header.licence == "apache-2.0"
    assert header.has_template
    assert not header.knows_tools
    assert not header.embeds


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    header = header_of(tmp_path, gguf_bytes())
    assert (header.name, header.licence, header.context_tokens) == ("Tiny", "mit", 2048)
    assert header.kv_bytes_per_token == 2 * 2 * (16 + 16) * 2
    template = str(TINY["tokenizer.chat_template"]).encode()
    assert header.template_digest == f"sha256:{hashlib.sha256(template).hexdigest()}"


def test_version_2_is_read_as_version_3_is(tmp_path: Path) -> None:
    assert header_of(tmp_path, gguf_bytes(version=2)) == header_of(tmp_path, gguf_bytes())


def test_layers_may_differ_in_their_key_value_heads(tmp_path: Path) -> None:
    values = {**TINY, "llama.attention.head_count_kv": [1, 4]}
    assert header_of(tmp_path, gguf_bytes(values)).kv_bytes_per_token == (1 + 4) * 32 * 2


def test_head_widths_that_are_stated_are_taken(tmp_path: Path) -> None:
    widths = {"llama.attention.key_length": 100, "llama.attention.value_length": 28}
    assert header_of(tmp_path, gguf_bytes({**TINY, **widths})).kv_bytes_per_token == 4 * 128 * 2


def test_the_tokenizer_digest_is_of_the_tokenizer_alone(tmp_path: Path) -> None:
    before = header_of(tmp_path, gguf_bytes()).tokenizer_digest
    renamed = header_of(tmp_path, gguf_bytes({**TINY, "general.name": "Other"}))
    other = header_of(tmp_path, gguf_bytes({**TINY, "tokenizer.ggml.tokens": ["a", "b", "d"]}))
    assert renamed.tokenizer_digest == before
    assert other.tokenizer_digest != before


@pytest.mark.parametrize(
    ("template", "knows"), [("{% if tools %}…{% endif %}", True), ("{{ messages }} stools", False)]
)
def test_whether_the_template_knows_tools_is_seen(
    tmp_path: Path, template: str, knows: bool
) -> None:
    header = header_of(tmp_path, gguf_bytes({**TINY, "tokenizer.chat_template": template}))
    assert header.knows_tools is knows


@pytest.mark.parametrize(
    ("values", "embeds", "reranks"),
    [
        ({"general.architecture": "nomic-bert"}, True, False),
        ({"llama.pooling_type": 3}, True, False),
        ({"llama.pooling_type": 4}, False, True),
        ({"llama.pooling_type": 0}, False, False),
    ],
)
def test_models_of_vectors_are_told_from_models_of_text(
    tmp_path: Path, values: dict[str, object], embeds: bool, reranks: bool
) -> None:
    header = header_of(tmp_path, gguf_bytes({**TINY, **values}))
    assert (header.embeds, header.reranks) == (embeds, reranks)


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = gguf_bytes()
    for length in range(len(whole) - 64 + 1):
        with pytest.raises(BadRequestError):
            header_of(tmp_path, whole[:length])


HOSTILE = {
    "a count of entries": struct.pack("<IQQ", 3, 0, 2**63),
    "a count of tensors": struct.pack("<IQQ", 3, 2**40, 0),
    "a length of a key": struct.pack("<IQQQ", 3, 0, 1, 2**60) + b"x" * 40,
    "a length of an array": struct.pack("<IQQQ", 3, 0, 1, 1)
    + b"k"
    + struct.pack("<IIQ", 9, 12, 2**61)
    + b"x" * 40,
    "arrays in arrays": struct.pack("<IQQQ", 3, 0, 1, 1)
    + b"k"
    + struct.pack("<I", 9)
    + struct.pack("<IQ", 9, 1) * 200,
    "a type that is none": struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<I", 99),
    "a version that is none": struct.pack("<IQQ", 50_331_648, 0, 0),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_header_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(BadRequestError):
        header_of(tmp_path, b"GGUF" + body + b"\0" * 64)


def test_a_senseless_alignment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="alignment"):
        header_of(tmp_path, gguf_bytes({**TINY, "general.alignment": 0}))


def test_a_key_that_comes_twice_is_refused(tmp_path: Path) -> None:
    twice = gguf_bytes({"general.name": "a", "general.namf": "b"}).replace(b"namf", b"name")
    with pytest.raises(BadRequestError, match="twice"):
        header_of(tmp_path, twice)


def test_a_missing_file_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="can't be read"):
        read_gguf(tmp_path / "none.gguf")


def survives(path: Path, content: bytes) -> None:
    """Either a header or a refusal; anything else is a defect."""
    path.write_bytes(content)
    with suppress(BadRequestError):
        read_gguf(path)


fuzzed = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzzed
@given(tail=st.binary(max_size=300))
def test_no_bytes_break_the_reader(tmp_path: Path, tail: bytes) -> None:
    survives(tmp_path / "f.gguf", b"GGUF\3\0\0\0" + tail)


@fuzzed
@given(changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8))
def test_no_damage_breaks_the_reader(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(gguf_bytes({**TINY, "llama.pooling_type": 1, "n": [1, 2, 3]}))
    for place, value in changes:
        content[place % len(content)] = value
    survives(tmp_path / "f.gguf", bytes(content))
