"""The models of a catalogue as repositories.

| the model's name | repository | revision |
| --- | --- | --- |
| `smollm2-135m` | `littoral/smollm2-135m` | `main` |
| `acme/tiny` | `acme/tiny` | `main` |
| `qwen:0.5b` | `littoral/qwen` | `0.5b` |

Models that have no files here (upstreams, `echo`) are none, and neither are those whose names have
more parts than that.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Final

from littoral.delivery.git_names import stand_in_commit
from littoral.terms.artifacts import OriginFile, Shelved
from littoral.terms.values import ModelEntry

__all__ = ["models_shelved"]

_NAME: Final = re.compile(r"(?:([a-z0-9._-]+)/)?([a-z0-9._-]+)(?::([a-z0-9._-]+))?")


def models_shelved(entries: Iterable[ModelEntry]) -> Iterator[Shelved]:
    """The repositories that these models are; `OriginFile.place` is the path of the file here."""
    for entry in entries:
        name = _NAME.fullmatch(entry.name)
        files = tuple(sorted(_files(entry), key=lambda file: file.path))
        if name is not None and files:
            yield Shelved(
                repository=f"{name[1] or 'littoral'}/{name[2]}",
                commit=stand_in_commit(files),
                files=files,
                names=(name[3] or "main",),
                models=(entry.name,),
            )


def _files(entry: ModelEntry) -> Iterator[OriginFile]:
    for file in entry.files:
        yield OriginFile(PurePath(file.path).name, file.size_bytes, file.digest, place=file.path)
