"""Credentials are kept for their owner alone, and heeded as soon as they are another."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from littoral.adapters.origins import Credential, OriginsSettings
from littoral.adapters.origins.hub import HubOrigin
from littoral.adapters.origins.kept import CredentialFile, OriginsNow, host_named
from littoral.terms.errors import BadRequestError, IdentityError
from littoral.terms.limits import CREDENTIALS_MAX

HUB = "https://hub.example:8443"


def token_of(origins: OriginsNow) -> str | None:
    origin = origins.origin_for("hf:owner/name")
    assert isinstance(origin, HubOrigin)
    return origin.token


def test_what_is_put_is_there_for_its_owner_alone(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path)
    assert file.read() == {}
    file.put("a.example", Credential("token-a"))
    file.put("b.example:8080", Credential("secret", "user"))
    assert file.read() == {
        "a.example": Credential("token-a"),
        "b.example:8080": Credential("secret", "user"),
    }
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert file.drop("a.example")
    assert not file.drop("a.example")
    assert list(file.read()) == ["b.example:8080"]


READERS = """
import sys, threading
from pathlib import Path
from littoral.adapters.origins.kept import CredentialFile

sys.setswitchinterval(1e-6)
file, together = CredentialFile(Path(sys.argv[1])), threading.Barrier(16)

def read():
    together.wait()
    assert file.read()

threads = [threading.Thread(target=read) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_that_read_it_first_at_once_do_not_crash(tmp_path: Path) -> None:
    CredentialFile(tmp_path).put("a.example", Credential("token-a"))
    for _ in range(4):  # msgspec 0.22 crashed where two threads built what it knows of a type
        subprocess.run([sys.executable, "-c", READERS, str(tmp_path)], check=True)


@pytest.mark.parametrize(
    "spoil", [lambda path: path.chmod(0o640), lambda path: path.write_text("{")]
)
def test_a_file_that_others_can_read_or_that_is_damaged_is_refused(tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    file = CredentialFile(tmp_path)
    file.put("a.example", Credential("token-a"))
    spoil(tmp_path / "credentials.json")
    with pytest.raises(IdentityError) as refused:
        file.read()
    assert "token-a" not in str(refused.value)


def test_there_are_so_many_and_no_more(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path)
    for number in range(CREDENTIALS_MAX):
        file.put(f"host-{number}", Credential("t"))
    with pytest.raises(BadRequestError, match="log out"):
        file.put("one-more", Credential("t"))
    file.put("host-0", Credential("another"))


def test_a_change_is_heeded_the_next_time_that_an_origin_is_asked(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path)
    settings = OriginsSettings({"hub.example:8443": Credential("of-env")}, hub_endpoint=HUB)
    origins = OriginsNow(settings, file)
    try:
        assert token_of(origins) == "of-env"
        file.put("hub.example:8443", Credential("of-file"))
        assert token_of(origins) == "of-file"
        file.put("hub.example:8443", Credential("newer"))
        assert token_of(origins) == "newer"
        file.drop("hub.example:8443")
        assert token_of(origins) == "of-env"
        (tmp_path / "credentials.json").chmod(0o644)
        with pytest.raises(IdentityError):
            origins.origin_for("hf:owner/name")
    finally:
        origins.close()


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("huggingface.co", "huggingface.co"),
        ("https://HuggingFace.co/api", "huggingface.co"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
    ],
)
def test_a_server_is_named_by_its_host_or_an_address(text: str, host: str) -> None:
    assert host_named(text) == host


@pytest.mark.parametrize("text", ["", "https://", "a b", "user@host", "host/path", "host:port"])
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        host_named(text)
