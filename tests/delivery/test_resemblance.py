"""Chunks of a fine-tune are encoded against the same tensors of their base, wherever these are."""

import json
import random
import struct
from collections.abc import Mapping

from littoral.delivery.cutting import TensorRow, cut_file, decode_tensors
from littoral.delivery.encoding import Encoding, Place, decoded
from littoral.delivery.resemblance import Tensors, encoded
from littoral.delivery.tables import Table

ROWS = 150_000


def numbers(seed: int, count: int = ROWS) -> bytes:
    """bfloat16 around 0."""
    chance = random.Random(seed)
    return b"".join(struct.pack("<f", chance.gauss(0, 0.05))[2:] for _ in range(count))


def changed(data: bytes, every: int) -> bytes:
    """The same with a bit of one in so many numbers turned."""
    other = bytearray(data)
    for at in range(0, len(other), 2 * every):
        other[at] ^= 1
    return bytes(other)


def safetensors(tensors: Mapping[str, bytes], dtype: str = "BF16") -> bytes:
    header, at = {}, 0
    for name, data in tensors.items():
        shape = [len(data) // 2]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + b"".join(tensors.values())


class Made:
    """An artifact of one file."""

    def __init__(self, data: bytes, name: str = "model.safetensors") -> None:
        self.data = data
        cut = cut_file(name, len(data), Reading(data).read)
        self.table = Table([cut.cuts], hashed=False)
        self.tensors = Tensors({0: cut.tensors} if cut.tensors else {})

    def span(self, place: Place, size_bytes: int) -> bytes:
        assert place.file == 0
        return self.data[place.start : place.start + size_bytes]

    def chunk_of(self, text: bytes) -> int:
        """The one that begins with these bytes."""
        return next(n for n in range(self.table.chunks) if self.bytes_of(n).startswith(text))

    def bytes_of(self, number: int) -> bytes:
        chunk = self.table[number]
        return self.data[chunk.start : chunk.start + chunk.size_bytes]


class Reading:
    """The bytes of a file from its start."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, least: int) -> bytes:
        found = self._data[self._at : self._at + least]
        self._at += len(found)
        return found


A, B, C = numbers(1), numbers(2), numbers(3)


def test_a_tensor_goes_as_what_differs_from_the_base_wherever_it_is_there() -> None:
    base, tuned = Made(safetensors({"a": A, "b": B})), Made(safetensors({"b": changed(B, 9)}))
    number = tuned.chunk_of(changed(B, 9)[:100])
    data = tuned.bytes_of(number)
    found = encoded(tuned.table[number], data, tuned.tensors, (base.tensors, base.span))
    assert found is not None
    encoding, body = found
    assert encoding is Encoding.DELTA
    assert len(body) < 0.1 * len(data)
    assert decoded(encoding, body, len(data), base.span) == data


def test_a_tensor_that_the_base_lacks_or_has_otherwise_goes_in_planes() -> None:
    tuned = Made(safetensors({"c": C}))
    number = tuned.chunk_of(C[:100])
    data = tuned.bytes_of(number)
    others = safetensors({"a": A}), safetensors({"c": C}, "F16"), safetensors({"c": C[:400]})
    for base in [Made(other) for other in others]:
        found = encoded(tuned.table[number], data, tuned.tensors, (base.tensors, base.span))
        assert found is not None
        assert found[0] is Encoding.PLANES
    alone = encoded(tuned.table[number], data, tuned.tensors, None)
    assert alone is not None
    assert alone[0] is Encoding.PLANES
    assert len(alone[1]) < 0.75 * len(data)


def test_weights_that_do_not_resemble_the_base_are_not_sent_as_a_delta() -> None:
    base, other = Made(safetensors({"a": A})), Made(safetensors({"a": C}))
    number = other.chunk_of(C[:100])
    data = other.bytes_of(number)
    found = encoded(other.table[number], data, other.tensors, (base.tensors, base.span))
    assert found is not None
    assert found[0] is Encoding.PLANES


def test_a_base_that_does_not_give_its_bytes_is_no_base() -> None:
    tuned = Made(safetensors({"a": changed(A, 5)}))
    number = tuned.chunk_of(changed(A, 5)[:100])
    base = Made(safetensors({"a": A}))
    silent = (base.tensors, lambda _place, _size: None)
    found = encoded(tuned.table[number], tuned.bytes_of(number), tuned.tensors, silent)
    assert found is not None
    assert found[0] is Encoding.PLANES


def test_text_is_packed_and_noise_is_left() -> None:
    text = Made(json.dumps({"words": [f"word {n}" for n in range(9_000)]}).encode(), "words.json")
    found = encoded(text.table[0], text.bytes_of(0), text.tensors, None)
    assert found is not None
    assert len(found[1]) < 0.5 * len(text.data)
    noise = Made(random.Random(4).randbytes(300_000), "noise.bin")
    assert encoded(noise.table[0], noise.bytes_of(0), noise.tensors, None) is None


def test_a_list_that_can_not_be_read_or_lies_costs_the_saving_only() -> None:
    tuned = Made(safetensors({"a": changed(A, 5)}))
    number = tuned.chunk_of(changed(A, 5)[:100])
    row = TensorRow("a", "BF16", (ROWS,), 1 << 60, 2 * ROWS)
    assert Tensors({0: b"no list"}).of(tuned.table[number]) is None
    assert Tensors({0: b'[["a","BF16",[9],9,0]]'}).of(tuned.table[number]) is None
    far = Tensors({0: b'[["a","BF16",[150000],1152921504606846976,300000]]'})
    assert decode_tensors(b'[["a","BF16",[150000],1152921504606846976,300000]]') == (row,)
    assert far.of(tuned.table[number]) is None
    lying = (far, lambda _place, _size: None)
    assert encoded(tuned.table[number], tuned.bytes_of(number), tuned.tensors, lying) is not None
