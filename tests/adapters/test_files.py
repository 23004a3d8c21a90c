"""Files that are there whole or not at all, whenever their writer is killed."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from littoral.adapters.files import drop_drafts, read_secret, write_once, write_whole
from littoral.terms.errors import IdentityError


def test_what_is_there_is_left_by_one_and_replaced_by_the_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_once(path, b"first", mode=0o600)
    write_once(path, b"second", mode=0o600)
    assert path.read_bytes() == b"first"
    write_whole(path, b"third", mode=0o644)
    assert path.read_bytes() == b"third"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_once(path, b"hidden", mode=0o600)
    assert read_secret(path, otherwise="give up") == b"hidden"
    path.chmod(0o640)
    with pytest.raises(IdentityError, match="can be read by others") as caught:
        read_secret(path, otherwise="give up")
    assert caught.value.advice.endswith("else give up")


KILLED = """
import os, signal, sys
from pathlib import Path
from littoral.adapters import files

def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

step, write, path = sys.argv[1:]
match step:
    case "before it is synced":
        files.os.fsync = die
    case "before it is named":
        Path.hardlink_to = Path.replace = die
    case "before its draft is gone":
        Path.unlink = die
getattr(files, write)(Path(path), b"new" * 100, mode=0o600)
if write == "write_whole":
    die()
"""


@pytest.mark.parametrize("write", ["write_once", "write_whole"])
@pytest.mark.parametrize(
    "step", ["before it is synced", "before it is named", "before its draft is gone"]
)
def test_a_writer_that_is_killed_leaves_the_file_whole_or_not_there(
    tmp_path: Path, step: str, write: str
) -> None:
    path = tmp_path / "key"
    killed = subprocess.run([sys.executable, "-c", KILLED, step, write, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    if step == "before its draft is gone":
        assert path.read_bytes() == b"new" * 100
    else:
        assert not path.exists()
    assert all(stat.S_IMODE(os.lstat(left).st_mode) == 0o600 for left in tmp_path.iterdir())
    write_once(path, b"new" * 100, mode=0o600)
    drop_drafts(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"new" * 100
