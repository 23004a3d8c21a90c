"""Real vectors for benches: short texts of people, through the project's own embedding model.

The vectors are kept in `.peers/vectors`, named by what they were made of, so that the minutes are
spent once. Each text is computed alone, as the worker does, so that no vector depends on another
text. Without the texts (they lie beside the repository, in ../shared) there is a reason instead.

Run it alone to make them beforehand: `python -m bench.stand.embedding`.
"""

import hashlib
import os
from typing import TYPE_CHECKING, Final

from bench.stand.report import note
from bench.stand.running import ROOT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KEPT", "TEXTS", "documents", "queries", "texts_of", "why_absent"]

TEXTS: Final = ROOT.parent / "shared/data/summaries"
MODEL: Final = ROOT / ".models/models/all-minilm-l6-v2"
KEPT: Final = ROOT / ".peers/vectors"
GROUP: Final = 4096
CONTEXT_TOKENS: Final = 512


def why_absent() -> str:
    """Why there are no vectors, or nothing."""
    if not TEXTS.exists():
        return "the texts are not here (../shared/data/summaries)"
    if not (MODEL / "model.int8.onnx").exists():
        return "all-minilm-l6-v2 is not here: `make models` brings it"
    return ""


def texts_of(name: str) -> list[str]:
    """The lines of a file of texts."""
    return (TEXTS / f"{name}.txt").read_text().splitlines()


def documents() -> "NDArray[np.float32]":
    """About 100,000 unit vectors of 384 dimensions: descriptions of Python packages."""
    return _vectors("documents")


def queries() -> "NDArray[np.float32]":
    """1,000 unit vectors of texts from elsewhere: descriptions of JavaScript packages."""
    return _vectors("queries")


def _vectors(name: str) -> "NDArray[np.float32]":
    import numpy as np

    texts = texts_of(name)
    made_of = hashlib.sha256("\n".join(texts).encode())
    made_of.update((MODEL / "model.int8.onnx").read_bytes())
    path = KEPT / f"{name}-{made_of.hexdigest()[:16]}.npy"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, _embedded(texts))
        part.rename(path)
    found: NDArray[np.float32] = np.load(path)
    return found


def _embedded(texts: list[str]) -> "NDArray[np.float32]":
    """The vectors of the texts, as the worker computes them."""
    import numpy as np

    from littoral.adapters.engines.onnx_worker import Encoder, OnnxArguments

    encoder = Encoder(
        OnnxArguments(
            model_path=str(MODEL / "model.int8.onnx"),
            tokenizer_path=str(MODEL / "tokenizer.json"),
            model_name=MODEL.name,
            socket_path="",
            key="",
            context_tokens=CONTEXT_TOKENS,
            threads=os.cpu_count() or 1,
        )
    )
    rows = []
    for begin in range(0, len(texts), GROUP):
        group: list[str | list[int]] = list(texts[begin : begin + GROUP])
        rows.append(encoder.vectors(encoder.tokens(group), lambda: True))
        note(f"embedded {min(begin + GROUP, len(texts)):,} of {len(texts):,} texts")
    return np.concatenate(rows)


if __name__ == "__main__":
    note(why_absent() or f"{len(documents()):,} documents, {len(queries()):,} queries")
