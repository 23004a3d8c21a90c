"""The name under which an answer is kept: a digest of all that decides it, and of whose it is.

Rules
- Every part is encoded with its length before it, and each kind of key has a domain of its own: two
  different sets of parts never make the same bytes, wherever one part ends and the next begins.
- The scope is the first part: no key of one scope is a key of another (invariant I10).
- A request is taken by its meaning as JSON: blanks, the order of members and members that are null
  make no difference. Nothing else is left out: a member that this PoP does not know may decide the
  answer, so a request that differs in it is another request. Too careful costs a hit, no more.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from littoral.terms.ids import ModelName
from littoral.terms.sources import Sources
from littoral.terms.values import ModelDefaults, ModelEntry

__all__ = [
    "KEY_BYTES",
    "Identities",
    "answer_key",
    "canonical",
    "embedding_keys",
    "model_identity",
    "reproducible",
    "sourced_key",
]

KEY_BYTES: Final = 20
"""160 bits: a trillion answers meet by chance with a probability of 1 in 10^24."""

_encode: Final = msgspec.json.Encoder(order="sorted").encode

_ANSWER: Final = b"littoral answer"
_SOURCED: Final = b"littoral sources"
_VECTOR: Final = b"littoral vector"
_MODEL: Final = b"littoral model"
_LENGTH_BYTES: Final = 8

_CALLERS_TOOLS: Final = (None, "function", "custom")
"""Types of tools that whoever asks runs; others the upstream runs itself, as a web search."""


def canonical(body: Mapping[str, object]) -> bytes:
    """The one spelling of a request: members sorted, no blanks, no member that is null.

    Args:
        body: the request as it was decoded from JSON.
    """
    return _encode({name: value for name, value in body.items() if value is not None})


def answer_key(scope: str, model: bytes, api: str, policy_epoch: int, request: bytes) -> bytes:
    """The key of a whole answer.

    Args:
        scope: whose answers these are (`Caller.scope`).
        model: `model_identity` of the model asked for.
        api: the door that the request came by: the same words get another form at another door.
        policy_epoch: a number that becomes another one when what is allowed has changed.
        request: the `canonical` request.

    Returns:
        KEY_BYTES bytes.
    """
    digest = blake2b(digest_size=KEY_BYTES, person=_ANSWER)
    digest.update(_framed(scope.encode(), model, api.encode(), b"%d" % policy_epoch, request))
    return digest.digest()


def sourced_key(key: bytes, sources: Sources) -> bytes:
    """The key of an answer that was made from these passages, in this order.

    Args:
        key: `answer_key` of the request.
        sources: what it was made from. A passage that has changed has another digest.
    """
    digest = blake2b(key, digest_size=KEY_BYTES, person=_SOURCED)
    for each in sources.passages:
        named = (each.collection, each.id, each.document, str(each.position), each.digest)
        digest.update(_framed(*(part.encode() for part in (*named, each.header))))
    return digest.digest()


def embedding_keys(
    scope: str,
    model: bytes,
    policy_epoch: int,
    rest: bytes,
    texts: Iterable[str | Sequence[int]],
) -> list[bytes]:
    """The key of each text's vector.

    Args:
        scope: whose vectors these are (`Caller.scope`).
        model: `model_identity` of the model asked for.
        policy_epoch: as in `answer_key`.
        rest: all else that the request says (`embeddings.Batch.rest`).
        texts: each a text, or the numbers of its tokens.

    Returns:
        KEY_BYTES bytes for each text, in their order.
    """
    shared = blake2b(digest_size=KEY_BYTES, person=_VECTOR)
    shared.update(_framed(scope.encode(), model, b"%d" % policy_epoch, rest))
    keys = []
    for text in texts:
        digest = shared.copy()
        digest.update(b"t" + text.encode() if isinstance(text, str) else b"n" + _encode(text))
        keys.append(digest.digest())
    return keys


def model_identity(entry: ModelEntry) -> bytes:
    """What of a model decides its answers, in KEY_BYTES bytes.

    What only says how it is reached (weights of upstreams, keys, waits)
    or what people read does not count. Answers of a fallback belong to the fallback: they are not
    stored under the name of the model that could not answer.
    """
    # Which PoPs have it now changes all the time, and nothing where its weights are named.
    upstreams = () if entry.guest and entry.digest is not None else entry.upstreams
    decides = {
        "name": entry.name,
        "engine": entry.engine,
        "kinds": entry.kinds,
        "context_tokens": entry.context_tokens,
        "weights": entry.digest,
        "tokenizer": entry.tokenizer_digest,
        "template": entry.template_digest,
        "files": [(file.path, file.digest) for file in entry.files],
        "tools": entry.tools,
        "defaults": entry.defaults,
        "upstreams": [(each.base_url, each.model, each.apis) for each in upstreams],
        "fallbacks": entry.fallbacks,
    }
    return blake2b(_encode(decides), digest_size=KEY_BYTES, person=_MODEL).digest()


class Identities:
    """`model_identity` of each model, made once for each entry."""

    def __init__(self) -> None:
        self._known: dict[ModelName, tuple[ModelEntry, bytes]] = {}

    def of(self, entry: ModelEntry) -> bytes:
        """Of this entry."""
        known = self._known.get(entry.name)
        if known is None or known[0] is not entry:
            known = self._known[entry.name] = entry, model_identity(entry)
        return known[1]


def reproducible(
    api: str, body: Mapping[str, object], defaults: ModelDefaults, *, sourced: bool = False
) -> bool:
    """Whether the same request is meant to get the same answer again.

    So it is for embeddings, at temperature 0 and with a seed; but not where the upstream looks
    something up for its answer.

    Args:
        api: the door that the request came by (`Ask.api`).
        body: the request, OpenAI-shaped.
        defaults: the model's own, which fill what the request leaves open.
        sourced: this PoP looks up what there is to look up, and the key says what it found.
    """
    if api == "embeddings":
        return True
    if not _callers_tools_only(
        body, (*_CALLERS_TOOLS, "file_search") if sourced else _CALLERS_TOOLS
    ):
        return False
    temperature = body.get("temperature")
    if temperature is None:
        temperature = defaults.temperature
    cold = _is_number(temperature, whole=False) and temperature == 0
    return cold or _is_number(body.get("seed"))


def _callers_tools_only(body: Mapping[str, object], known: Sequence[str | None]) -> bool:
    if body.get("web_search_options") is not None:
        return False
    tools = body.get("tools")
    return not isinstance(tools, list) or all(
        isinstance(tool, dict) and tool.get("type") in known for tool in tools
    )


def _is_number(value: object, *, whole: bool = True) -> bool:
    """Whether it is a number; `true` and `false` are none, though Python counts with them."""
    return isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)


def _framed(*parts: bytes) -> bytes:
    """All parts, each with its length before it."""
    return b"".join([len(part).to_bytes(_LENGTH_BYTES) + part for part in parts])
