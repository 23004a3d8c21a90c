"""The bundle of trusted owners, as a value and as a file."""

from pathlib import Path

import pytest

from littoral.adapters.owner import Bundle, FabricFiles
from littoral.terms.errors import HomeUnwritableError, IdentityError
from tests.adapters.owner.made import SetClock, answer_for, owner_at
from tests.certificates import self_signed


def test_owners_come_and_go(tmp_path: Path) -> None:
    one, two = (owner_at(tmp_path / str(number), SetClock(), number) for number in (1, 2))
    bundle = Bundle([one.root]).with_root(two.root).with_root(two.root)
    assert bundle.owners == tuple(sorted([one.owner_id, two.owner_id]))
    assert set(bundle.fingerprints) == {one.fingerprint, two.fingerprint}
    assert bundle.without(two.owner_id).roots == (one.root,)
    bundle.write(tmp_path / "bundle.pem")
    assert Bundle.read(tmp_path / "bundle.pem").roots == bundle.roots


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="can't be read"):
        Bundle.read(tmp_path / "missing")
    with pytest.raises(IdentityError, match="not a bundle"):
        Bundle.of_pem(b"nonsense")
    with pytest.raises(HomeUnwritableError):
        Bundle().write(tmp_path / "missing" / "bundle.pem")


def test_only_owners_roots_are_taken(tmp_path: Path) -> None:
    owner = owner_at(tmp_path, SetClock())
    leaf, issuer = answer_for(owner, FabricFiles(tmp_path), SetClock()).chain
    for other in (leaf, issuer, b"", b"nonsense", owner.root[:-1], bytes(5000)):
        with pytest.raises(IdentityError):
            Bundle([other])
    certificate, _ = self_signed(tmp_path, "pop.example")
    with pytest.raises(IdentityError, match="no owner's root"):
        Bundle.of_pem(Path(certificate).read_bytes())
