"""What the kinds of work have in common, and which of them a model does. Pure."""

from littoral.terms.values import Kind, ModelEntry

__all__ = ["does", "sorts_upstream", "writes"]


def writes(kind: Kind) -> bool:
    """Whether the answer is text, which can come as a stream and be bounded."""
    return kind is Kind.CHAT or kind is Kind.COMPLETE


def does(entry: ModelEntry, kind: Kind) -> bool:
    """Whether a model can be asked for this; what all its upstreams have an API for, it does."""
    return kind in entry.kinds or (kind is Kind.RERANK and sorts_upstream(entry))


def sorts_upstream(entry: ModelEntry) -> bool:
    """Whether all upstreams of a model have the API that sorts passages."""
    return bool(entry.upstreams) and all("rerank" in target.apis for target in entry.upstreams)
