"""One root for many leaves, and what leads to it."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.trust.merkle import HASH_BYTES, Tree, root_of

LEAVES = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


def recursive_root(leaves: list[bytes]) -> bytes:
    """The definition in RFC 9162, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = recursive_root(leaves[:split]), recursive_root(leaves[split:])
    return hashlib.sha256(b"\1" + left + right).digest()


@given(LEAVES)
def test_the_root_is_the_one_of_the_rfc(leaves: list[bytes]) -> None:
    assert Tree(leaves).root == recursive_root(leaves)


@given(LEAVES)
def test_each_path_leads_from_its_leaf_to_the_root(leaves: list[bytes]) -> None:
    tree = Tree(leaves)
    for index, leaf in enumerate(leaves):
        assert root_of(leaf, index, len(leaves), tree.path(index)) == tree.root


@given(LEAVES, st.data())
def test_nothing_else_leads_there(leaves: list[bytes], data: st.DataObject) -> None:
    tree = Tree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, leaf, path, size = tree.root, leaves[index], tree.path(index), len(leaves)
    assert root_of(leaf + b"x", index, size, path) != root
    assert root_of(leaf, index, size, path + bytes(HASH_BYTES)) != root
    assert root_of(leaf, index, size, path[:-1] if path else b"x") != root
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        changed = path[:at] + bytes([path[at] ^ 1]) + path[at + 1 :]
        assert root_of(leaf, index, size, changed) != root
        assert root_of(leaf, index, size, path[HASH_BYTES:]) != root


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_a_place_that_there_is_not_leads_nowhere(index: int, size: int) -> None:
    assert root_of(b"a", index, size, b"") is None


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    tree = Tree([b"a", b"b", b"c", b"d"])
    inner = hashlib.sha256(b"\0a").digest() + hashlib.sha256(b"\0b").digest()
    assert root_of(inner, 0, 2, tree.path(0)[HASH_BYTES:]) != tree.root
