"""Contexts are made anew when the files of a home are others, and only then."""

from pathlib import Path

import pytest

from littoral.adapters.owner.contexts import Contexts
from littoral.terms.errors import IdentityError
from tests.adapters.owner.made import SetClock, answer_for, owner_at, pop_at


def test_contexts_are_kept_until_a_file_is_replaced(tmp_path: Path) -> None:
    clock = SetClock()
    owner = owner_at(tmp_path / "owner", clock)
    files = pop_at(tmp_path / "pop", owner, clock)
    contexts = Contexts(files, lambda _: None)
    checker, client = contexts.checker, contexts.client(owner.owner_id)
    contexts.renewed()
    assert contexts.checker is checker
    assert contexts.client(owner.owner_id) is client
    files.keep(answer_for(owner, files, clock), clock)
    contexts.renewed()
    assert contexts.checker is not checker
    assert contexts.client(owner.owner_id) is not client


def test_files_that_are_gone_change_nothing(tmp_path: Path) -> None:
    clock = SetClock()
    owner = owner_at(tmp_path / "owner", clock)
    files = pop_at(tmp_path / "pop", owner, clock)
    contexts = Contexts(files, lambda _: None)
    checker = contexts.checker
    files.chain.unlink()
    with pytest.raises(IdentityError):
        contexts.renewed()
    assert contexts.checker is checker
