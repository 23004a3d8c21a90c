"""Files and directories of this machine, with all that can lie in them."""

import os
from pathlib import Path

import pytest

from littoral.adapters.origins.folders import FolderOrigin
from littoral.terms.errors import OriginChangedError, OriginRefusedError

ORIGIN = FolderOrigin()


def paths(folder: Path) -> list[str]:
    return [file.path for file in ORIGIN.find(f"file:{folder}").files]


def test_a_file_alone_has_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    (file,) = ORIGIN.find(f"file:{tmp_path}/x.gguf").files
    assert (file.path, file.size_bytes) == ("x.gguf", 4)


def test_links_to_files_are_files_and_links_to_directories_are_not_followed(tmp_path: Path) -> None:
    root, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    blobs.mkdir()
    root.mkdir()
    (blobs / "0123").write_bytes(b"weights")
    (root / "model.bin").symlink_to("../blobs/0123")
    (root / "around").symlink_to(root)
    (root / "nowhere").symlink_to("nothing")
    (root / ".git").mkdir()
    (root / ".git" / "config").touch()
    (root / ".gitattributes").touch()
    os.mkfifo(root / "pipe")
    assert paths(root) == [".gitattributes", "model.bin"]


def test_what_is_no_file_or_can_not_be_read_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    for name in ("pipe", "empty", "none"):
        with pytest.raises(OriginRefusedError):
            ORIGIN.find(f"file:{tmp_path}/{name}")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
    with pytest.raises(OriginRefusedError, match="no file may have"):
        ORIGIN.find(f"file:{tmp_path}")


def test_a_file_that_changes_or_goes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(1_000_000))
    (file,) = ORIGIN.find(f"file:{path}").files
    with ORIGIN.read(file, 0, file.size_bytes) as pieces:
        assert next(pieces)
        os.truncate(path, 500_000)
        with pytest.raises(OriginChangedError):
            next(pieces)
    path.unlink()
    with pytest.raises(OriginRefusedError), ORIGIN.read(file, 0, 1):
        pass
