"""Passages as tests want them."""

from littoral.terms.memory import Cited


def cited(
    text: str,
    *,
    id: str = "p",  # noqa: A002 - the field's name
    document: str = "d.md",
    position: int = 0,
    header: str = "",
    collection: str = "docs",
    digest: str = "blake3:" + "0" * 64,
    score: float = 0.5,
) -> Cited:
    return Cited(
        collection=collection,
        id=id,
        document=document,
        position=position,
        digest=digest,
        text=text,
        header=header,
        score=score,
    )
