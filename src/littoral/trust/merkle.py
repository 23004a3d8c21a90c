"""Merkle trees over digests, as RFC 9162 builds them (section 2.1): one root for many leaves.

Leaves and inner nodes are hashed with different first bytes, so that none passes for the other. A
path lists, from the leaf up, what its place is hashed with; where a level's last node has no
partner it rises as it is, and the path is one shorter.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

__all__ = ["HASH_BYTES", "Tree", "root_of"]

HASH_BYTES: Final = 32


class Tree:
    """The tree over some leaves, one at least."""

    __slots__ = ("_levels",)

    def __init__(self, leaves: Sequence[bytes]) -> None:
        level = [_leaf(data) for data in leaves]
        self._levels = [level]
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            above = [_node(left, right) for left, right in pairs]
            if len(level) % 2:
                above.append(level[-1])
            level = above
            self._levels.append(level)

    @property
    def root(self) -> bytes:
        """The hash over all leaves."""
        return self._levels[-1][0]

    def path(self, index: int) -> bytes:
        """The hashes on the way from this leaf to the root, joined."""
        path = []
        for level in self._levels[:-1]:
            partner = index ^ 1
            if partner < len(level):
                path.append(level[partner])
            index >>= 1
        return b"".join(path)


def root_of(leaf: bytes, index: int, size: int, path: bytes) -> bytes | None:
    """The root that this leaf at this place of so many leads to; None if the path can't be right.

    See RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size or len(path) % HASH_BYTES:
        return None
    found, last = _leaf(leaf), size - 1
    for start in range(0, len(path), HASH_BYTES):
        if last == 0:
            return None
        partner = path[start : start + HASH_BYTES]
        if index % 2 or index == last:
            found = _node(partner, found)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            found = _node(found, partner)
        index, last = index >> 1, last >> 1
    return found if last == 0 else None


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
