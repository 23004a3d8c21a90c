"""The PoP's key file: made once, kept secret, never overwritten."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import (
    KEY_FILE,
    PUBLIC_KEY_FILE,
    Identity,
    open_identity,
    read_public_keys,
    verify,
)
from littoral.terms.errors import HomeUnwritableError, IdentityError
from littoral.trust.names import pop_id

CLOCK = SystemClock()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return open_identity(tmp_path, CLOCK)


def test_the_first_opening_makes_a_key_that_later_ones_read(
    tmp_path: Path, identity: Identity
) -> None:
    again = open_identity(tmp_path, CLOCK)
    assert again.public_key == identity.public_key
    assert again.pop_id == identity.pop_id == pop_id(identity.public_key)


def test_the_key_file_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_identity(tmp_path, CLOCK)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / KEY_FILE) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [KEY_FILE, PUBLIC_KEY_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_file_that_others_can_read_is_refused_with_the_remedy(
    tmp_path: Path, identity: Identity, mode: int
) -> None:
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(IdentityError, match="can be read by others") as caught:
        open_identity(tmp_path, CLOCK)
    assert f"chmod 600 {tmp_path / KEY_FILE}" in caught.value.advice
    (tmp_path / KEY_FILE).chmod(0o600)
    assert open_identity(tmp_path, CLOCK).pop_id == identity.pop_id


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe"])
def test_a_damaged_key_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / KEY_FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(IdentityError, match="does not hold an Ed25519 private key"):
        open_identity(tmp_path, CLOCK)
    assert path.read_bytes() == content


def test_what_it_signs_verifies_and_nothing_else_does(identity: Identity) -> None:
    signature = identity.sign(b"said")
    assert verify(identity.public_key, b"said", signature)
    assert not verify(identity.public_key, b"Said", signature)
    assert not verify(identity.public_key, b"said", bytes(64))
    assert not verify(identity.public_key, b"said", b"short")
    assert not verify(b"short", b"said", signature)


def test_the_public_key_is_exported_for_others_to_trust(tmp_path: Path, identity: Identity) -> None:
    assert read_public_keys(tmp_path / PUBLIC_KEY_FILE) == [identity.public_key]
    (tmp_path / PUBLIC_KEY_FILE).write_text("something else\n")
    open_identity(tmp_path, CLOCK)
    assert read_public_keys(tmp_path / PUBLIC_KEY_FILE) == [identity.public_key]


def test_a_file_of_several_public_keys_may_have_comments(
    tmp_path: Path, identity: Identity
) -> None:
    line = (tmp_path / PUBLIC_KEY_FILE).read_text()
    file = tmp_path / "trusted"
    file.write_text(f"# two of one owner\n{line}\n{line}")
    assert read_public_keys(file) == [identity.public_key] * 2


@pytest.mark.parametrize("content", ["AAAA\n", "not base64 at all\n"])
def test_a_file_of_something_else_is_no_public_key(tmp_path: Path, content: str) -> None:
    (tmp_path / "other").write_text(content)
    with pytest.raises(IdentityError, match="not an Ed25519 public key"):
        read_public_keys(tmp_path / "other")


def test_a_missing_public_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="missing"):
        read_public_keys(tmp_path / "missing")


def test_a_home_that_is_no_directory_is_said_to_be_unwritable(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(HomeUnwritableError):
        open_identity(tmp_path / "home", CLOCK)


MAKE = """
import sys
from pathlib import Path
from littoral.adapters.clock import SystemClock
from littoral.adapters.identity import open_identity
sys.stdin.readline()
print(open_identity(Path(sys.argv[1]), SystemClock()).pop_id)
"""


def test_processes_that_make_it_at_the_same_time_agree_on_one(tmp_path: Path) -> None:
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    names = {maker.communicate(timeout=30)[0] for maker in makers}
    assert len(names) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [KEY_FILE, PUBLIC_KEY_FILE]
