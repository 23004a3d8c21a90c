"""Which parts of payloads Qdrant's clients want to see."""

from collections.abc import Mapping, Sequence

import msgspec

from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.memory import Record
from littoral.web.contents import contents_of
from littoral.web.dialects.reading import checked

__all__ = ["Chosen"]

_Tree = dict[str, "_Tree | None"]
"""Names, and below each what of it is meant; None is all."""


class Chosen:
    """Which parts of payloads are wanted."""

    def __init__(self, wanted: bool | Sequence[str] | Mapping[str, object] | None) -> None:
        """Read `with_payload`.

        Raises:
            BadRequestError: it is none of its forms.
        """
        self.any = bool(wanted) or isinstance(wanted, list | dict)
        """Whether any part is."""
        self._tree: _Tree | None = None
        self._without = False
        if isinstance(wanted, bool) or wanted is None:
            return
        if isinstance(wanted, Mapping):
            said = checked(wanted, _Selection)
            if (said.include is None) == (said.exclude is None):
                raise BadRequestError("with_payload has either `include` or `exclude`")
            self._without = said.exclude is not None
            wanted = said.exclude if said.include is None else said.include
        self._tree = _tree(wanted or ())

    def of(self, record: Record) -> Mapping[str, object] | None:
        """The wanted parts of this record's payload; None where none are."""
        if not self.any:
            return None
        payload = contents_of(record)
        if self._tree is None:
            return payload
        return _cut(payload, self._tree) if self._without else _kept(payload, self._tree)


class _Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    include: list[str] | None = None
    exclude: list[str] | None = None


def _tree(paths: Sequence[str]) -> _Tree:
    tree: _Tree = {}
    for path in paths:
        if "[" in path.replace("[]", "") or '"' in path:
            raise UnsupportedError("with_payload takes plain paths alone", param="with_payload")
        *parents, last = path.replace("[]", ".[]").split(".")
        node = tree
        for parent in parents:
            below = node.setdefault(parent, {})
            if below is None:
                break
            node = below
        else:
            node[last] = None
    return tree


def _kept(value: Mapping[str, object], tree: _Tree) -> dict[str, object]:
    return {name: _part(value[name], below) for name, below in tree.items() if name in value}


def _part(value: object, below: "_Tree | None") -> object:
    if below is None:
        return value
    if isinstance(value, Mapping):
        return _kept(value, below)
    if isinstance(value, list):
        return [_part(each, below["[]"]) for each in value] if "[]" in below else []
    return value


def _cut(value: Mapping[str, object], tree: _Tree) -> dict[str, object]:
    return {
        name: _rest(each, tree.get(name))
        for name, each in value.items()
        if name not in tree or tree[name] is not None
    }


def _rest(value: object, below: "_Tree | None") -> object:
    if below is None:
        return value
    if isinstance(value, Mapping):
        return _cut(value, below)
    if isinstance(value, list) and "[]" in below:
        inner = below["[]"]
        return [] if inner is None else [_rest(each, inner) for each in value]
    return value
