"""An owner's keys: made whole, kept secret, the root away when it is not needed."""

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from littoral.adapters.owner import (
    Bundle,
    Checker,
    FabricFiles,
    Owner,
    issuer_request,
    keep_issuer,
    make_owner,
    open_owner,
    read_request,
)
from littoral.terms.errors import (
    ConflictError,
    HomeUnwritableError,
    IdentityError,
    OwnerKeyAwayError,
)
from littoral.terms.limits import ISSUER_DAYS
from tests.adapters.owner.made import (
    START_UNIX_S,
    SetClock,
    answer_for,
    identity,
    member_of,
    owner_at,
)

DAY_S = 86_400
POP = identity(1).pop_id
OTHER = identity(2).pop_id


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def owner(tmp_path: Path, clock: SetClock) -> Owner:
    return owner_at(tmp_path, clock)


def issued(owner: Owner, home: Path, clock: SetClock) -> tuple[bytes, bytes]:
    """A certificate of the PoP of number 2, that lives there."""
    keys = FabricFiles(home).requests(OTHER, clock)
    requested = read_request(keys.csr, OTHER)
    return owner.issue(member_of(owner, OTHER), requested, clock.unix_s)


def certified(home: Path, clock: SetClock) -> bytes:
    """What takes every key of the home."""
    csr = issuer_request(home, POP, clock)
    return owner_at(home, clock).certify_issuer(read_request(csr, POP), clock.unix_s)


def good(owner: Owner, chain: tuple[bytes, bytes], unix_s: int) -> bool:
    member = Checker(Bundle([owner.root])).member(chain, unix_s)
    return member == member_of(owner, OTHER)


def test_an_owner_is_made_once_and_opened_after_that(
    tmp_path: Path, clock: SetClock, owner: Owner
) -> None:
    for again in (owner_at(tmp_path, clock), open_owner(tmp_path, clock)):
        assert again.owner_id == owner.owner_id
        assert again.root == owner.root
        assert again.nonce_key == owner.nonce_key
        assert again.pop == POP
    assert owner.fingerprint.hex().startswith(owner.owner_id.removeprefix("own-"))


def test_private_keys_are_for_their_owner_only(tmp_path: Path, owner: Owner) -> None:
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "owner").iterdir()
    }
    assert modes == {
        "root.key": 0o600,
        "root.pem": 0o644,
        "issuer.key": 0o600,
        "issuer.pem": 0o644,
    }


@pytest.mark.parametrize("name", ["root.key", "issuer.key"])
def test_a_key_that_others_can_read_is_refused(
    tmp_path: Path, clock: SetClock, owner: Owner, name: str
) -> None:
    (tmp_path / "owner" / name).chmod(0o644)
    with pytest.raises(IdentityError, match="can be read by others"):
        certified(tmp_path, clock)


@pytest.mark.parametrize("name", ["root.key", "root.pem", "issuer.key", "issuer.pem"])
def test_a_damaged_file_is_named(tmp_path: Path, clock: SetClock, owner: Owner, name: str) -> None:
    (tmp_path / "owner" / name).write_bytes(b"nonsense")
    with pytest.raises(IdentityError, match=name):
        certified(tmp_path, clock)


MAKE = """
import os, signal, sys
from pathlib import Path
from littoral.adapters import files
from littoral.adapters.clock import SystemClock
from littoral.adapters.owner import make_owner

left = int(sys.argv[2])
real = os.fsync

def dying(descriptor):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)

files.os.fsync = dying
print(make_owner(Path(sys.argv[1]), sys.argv[3], SystemClock()).owner_id)
"""


def test_one_who_is_killed_while_making_keys_goes_on_with_what_is_there(tmp_path: Path) -> None:
    finished, seen, at = False, set(), 0
    while not finished:
        at += 1
        home = tmp_path / str(at)
        made = subprocess.run(
            [sys.executable, "-c", MAKE, str(home), str(at), POP],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        finished = made.returncode == 0
        assert finished or made.returncode == -signal.SIGKILL, made.stderr
        before = home / "owner" / "root.pem"
        root = before.read_bytes() if before.exists() else None
        owner = make_owner(home, POP, SetClock())
        assert root is None or Bundle.of_pem(root).owners == (owner.owner_id,)
        keys = FabricFiles(home).requests(OTHER, SetClock())
        chain = owner.issue(
            member_of(owner, OTHER), read_request(keys.csr, OTHER), SetClock().unix_s
        )
        seen.add(len(chain))
        assert at < 20
    assert at > 8, "each of four files is synced, and its folder"


def test_the_root_can_be_taken_away_and_the_issuer_goes_on(
    tmp_path: Path, clock: SetClock, owner: Owner
) -> None:
    (tmp_path / "owner" / ".root.key.killed.draft").write_text("a link of it that a kill left")
    away = tmp_path / "stick" / "root.key"
    away.parent.mkdir()
    owner.take_root_offline(away)
    assert stat.S_IMODE(away.stat().st_mode) == 0o600
    assert not owner.has_root
    assert not list((tmp_path / "owner").glob("*root.key*"))
    assert not list((tmp_path / "owner").glob(".root.key*"))
    assert good(owner, issued(owner, tmp_path, clock), clock.unix_s)
    csr = issuer_request(tmp_path, POP, clock)
    with pytest.raises(OwnerKeyAwayError, match="root key"):
        owner.certify_issuer(read_request(csr, POP), clock.unix_s)
    with pytest.raises(OwnerKeyAwayError, match="root key"):
        owner.take_root_offline(away)
    owner.bring_root_back(away)
    assert owner.certify_issuer(read_request(csr, POP), clock.unix_s)


def test_the_root_is_not_moved_onto_something_else(tmp_path: Path, owner: Owner) -> None:
    other = owner_at(tmp_path / "other", SetClock())
    with pytest.raises(ConflictError, match="another key"):
        owner.take_root_offline(tmp_path / "other" / "owner" / "root.key")
    with pytest.raises(HomeUnwritableError):
        owner.take_root_offline(tmp_path / "nowhere" / "root.key")
    assert owner.has_root
    with pytest.raises(IdentityError, match="not the root key of"):
        owner.bring_root_back(tmp_path / "other" / "owner" / "root.key")
    assert other.has_root


def test_a_root_key_that_was_copied_before_a_kill_is_taken_away_all_the_same(
    tmp_path: Path, owner: Owner
) -> None:
    away = tmp_path / "root.key"
    away.write_bytes((tmp_path / "owner" / "root.key").read_bytes())
    away.chmod(0o600)
    owner.take_root_offline(away)
    assert not owner.has_root


def test_an_issuer_is_certified_anew_at_half_of_its_life(
    tmp_path: Path, clock: SetClock, owner: Owner
) -> None:
    clock.unix_s += 14 * DAY_S
    before = issued(owner, tmp_path, clock)
    clock.unix_s += 2 * DAY_S
    after = issued(owner, tmp_path, clock)
    assert before[1] != after[1]
    clock.unix_s += 20 * DAY_S
    assert good(owner, issued(owner, tmp_path, clock), clock.unix_s)


def test_an_issuer_without_the_root_goes_on_until_its_certificate_runs_out(
    tmp_path: Path, clock: SetClock, owner: Owner
) -> None:
    away = tmp_path / "root.key"
    owner.take_root_offline(away)
    clock.unix_s += ISSUER_DAYS * DAY_S - 60
    chain = issued(owner, tmp_path, clock)
    assert good(owner, chain, clock.unix_s)
    assert good(owner, chain, START_UNIX_S + ISSUER_DAYS * DAY_S)
    clock.unix_s += DAY_S + 60
    with pytest.raises(OwnerKeyAwayError, match="ran out 1 days ago"):
        issued(owner, tmp_path, clock)
    owner.bring_root_back(away)
    assert good(owner, issued(owner, tmp_path, clock), clock.unix_s)


def test_another_process_that_renewed_the_issuer_is_followed(
    tmp_path: Path, clock: SetClock, owner: Owner
) -> None:
    clock.unix_s += 16 * DAY_S
    renewed = issued(open_owner(tmp_path, clock), tmp_path, clock)
    owner.take_root_offline(tmp_path / "root.key")
    assert issued(owner, tmp_path, clock)[1] == renewed[1]


def test_another_pop_becomes_an_issuer(tmp_path: Path, clock: SetClock, owner: Owner) -> None:
    home = tmp_path / "second"
    with pytest.raises(OwnerKeyAwayError, match="may not issue"):
        open_owner(home, clock)
    csr = issuer_request(home, OTHER, clock)
    assert issuer_request(home, OTHER, clock) != b""
    certificate = owner.certify_issuer(read_request(csr, OTHER), clock.unix_s)
    keep_issuer(home, certificate, owner.root)
    second = open_owner(home, clock)
    assert (second.owner_id, second.pop, second.has_root) == (owner.owner_id, OTHER, False)
    assert good(owner, issued(second, home, clock), clock.unix_s)
    with pytest.raises(OwnerKeyAwayError, match="root key"):
        second.certify_issuer(read_request(csr, OTHER), clock.unix_s)
    stranger = owner_at(tmp_path / "stranger", clock, 3)
    with pytest.raises(IdentityError, match="not for this PoP's key"):
        keep_issuer(home, certificate, stranger.root)
    with pytest.raises(IdentityError, match="not for this PoP's key"):
        keep_issuer(tmp_path, certificate, owner.root)


def test_what_a_pop_keeps_is_for_its_own_key(tmp_path: Path, clock: SetClock, owner: Owner) -> None:
    files = FabricFiles(tmp_path)
    assert files.shown() == ()
    answer = answer_for(owner, files, clock)
    files.keep(answer, clock)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert list(files.shown()) == [*answer.chain, owner.root]
    assert files.fingerprint() == owner.fingerprint
    assert Bundle.read(files.bundle).owners == (owner.owner_id,)
    other = FabricFiles(tmp_path / "other")
    answer_for(owner, other, clock)
    with pytest.raises(IdentityError, match="another key than ours"):
        other.keep(answer, clock)
    assert sorted(path.name for path in other.folder.iterdir()) == ["tls.key"]
