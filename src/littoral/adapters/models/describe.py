"""Makes catalogue entries from what weights say of themselves, and what is known here of them."""

from pathlib import Path

from littoral.adapters.models.builtin import as_built_in
from littoral.adapters.models.gguf import GgufHeader
from littoral.terms.errors import UnsupportedError
from littoral.terms.ids import Digest, ModelName
from littoral.terms.values import EngineKind, Kind, ModelEntry, ModelFile, ToolSupport

__all__ = ["described_gguf", "gguf_entry"]


def gguf_entry(
    name: ModelName, header: GgufHeader, path: Path, digest: Digest, *, origin: str
) -> ModelEntry:
    """The entry of a GGUF file with this header, whose bytes have this digest.

    Raises:
        UnsupportedError: it is of a kind that no engine here serves.
    """
    return described_gguf(name, header, ModelFile(str(path), path.stat().st_size, digest), origin)


def described_gguf(name: ModelName, header: GgufHeader, file: ModelFile, origin: str) -> ModelEntry:
    """The same of a file that need not be there yet. Raises as `gguf_entry`."""
    path = Path(file.path)
    entry = ModelEntry(
        name=name,
        engine=EngineKind.LLAMA,
        kinds=_kinds(header, path),
        context_tokens=header.context_tokens,
        size_bytes=file.size_bytes,
        licence=header.licence,
        origin=origin,
        description=header.name or path.stem,
        digest=file.digest,
        tokenizer_digest=header.tokenizer_digest,
        template_digest=header.template_digest,
        files=(file,),
        kv_bytes_per_token=0 if header.embeds else header.kv_bytes_per_token,
        dimensions=header.dimensions if header.embeds else None,
        tools=_tools(header),
    )
    return as_built_in(entry)


def _kinds(header: GgufHeader, path: Path) -> tuple[Kind, ...]:
    if header.reranks:
        raise UnsupportedError(
            f"{path.name} is a reranker, which no engine here serves",
            advice="add a chat, completion or embedding model",
        )
    if not header.context_tokens or header.tokenizer_digest is None:
        raise UnsupportedError(
            f"{path.name} ({header.architecture or 'unnamed'}) is not a language model: it states "
            "no context length or has no tokenizer",
            advice="give the file of the model itself, not of an adapter or projector",
        )
    if header.embeds:
        return (Kind.EMBED,)
    return (Kind.CHAT, Kind.COMPLETE) if header.has_template else (Kind.COMPLETE,)


def _tools(header: GgufHeader) -> ToolSupport:
    if header.embeds or not header.has_template:
        return ToolSupport.NONE
    return ToolSupport.NATIVE if header.knows_tools else ToolSupport.PROMPTED
