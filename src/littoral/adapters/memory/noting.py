"""What servers without tables of their own keep of a collection beside its records: one note.

It is a record that is none, of the collection itself. Where it lies and how it is read is the
driver's.
"""

from collections.abc import Callable, Iterable

import msgspec

from littoral.adapters.memory.naming import PREFIX
from littoral.terms.collections import Collection
from littoral.terms.errors import NotFoundError
from littoral.terms.memory import CollectionShown, CollectionSpec

__all__ = ["Note", "described"]


class Note(msgspec.Struct, frozen=True):
    """What is noted of a collection."""

    spec: CollectionSpec
    through: int = 0


def described(
    names: Iterable[str],
    noted: Callable[[str], Note],
    opened: Callable[[str, str], Collection],
    *,
    driver: str,
    index: str,
) -> list[CollectionShown]:
    """All collections, by scope and name, as `Collections.describe` says them.

    Args:
        names: of whatever is on the server, those of others among them.
        noted: reads one's note; raises NotFoundError for what is being made, or was dropped.
        opened: the collection of a name and a scope.
        driver: what keeps them.
        index: what there is to search by, in words.
    """
    shown = []
    for called in names:
        if not called.startswith(PREFIX):
            continue
        try:
            note = noted(called)
        except NotFoundError:
            continue
        shown.append(
            CollectionShown(
                spec=note.spec,
                driver=driver,
                records=opened(note.spec.name, note.spec.scope).count(),
                through=note.through,
                index=index,
            )
        )
    return sorted(shown, key=lambda each: (each.spec.scope, each.spec.name))
