"""The catalogue: what is visible when, who may write, and that changed files are never loaded."""

import errno
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from littoral.adapters.models import ECHO, Catalogue, add, parse_source
from littoral.adapters.models.records import directory_name, name_of
from littoral.terms.errors import (
    BadRequestError,
    ConflictError,
    DigestMismatchError,
    DiskShortError,
    HomeUnwritableError,
    ModelDamagedError,
    UnknownModelError,
)
from littoral.terms.ids import ModelName
from littoral.terms.values import EngineKind, ModelEntry
from tests.adapters.models.conftest import ignore
from tests.adapters.models.made import gguf_bytes


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_bytes())
    return path


def added(
    catalogue: Catalogue, weights: Path, name: str = "tiny", *, copy: bool = True
) -> ModelEntry:
    return add(catalogue, parse_source(str(weights), copy=copy), ignore, name)


def in_child(work: Callable[[], object]) -> int:
    """Run work in a forked process; give its wait status back."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def killed_at(moment: int, work: Callable[[], object]) -> int:
    """Do work in a child that is killed before its so-manieth call that touches the disk."""

    def killed() -> None:
        left = moment

        def hook(event: str, _arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event.partition(".")[0] in {"open", "os", "shutil"}:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()

    return in_child(killed)


def test_an_empty_home_has_echo_and_nothing_else(catalogue: Catalogue) -> None:
    assert catalogue.entries() == (ECHO,)
    assert catalogue.get("echo").engine is EngineKind.ECHO
    assert "Test engine" in ECHO.description
    with pytest.raises(ConflictError):
        catalogue.remove("echo")


def test_models_are_listed_by_name_and_read_back_as_they_were_added(
    catalogue: Catalogue, weights: Path
) -> None:
    entries = [added(catalogue, weights, name) for name in ("zeta", "alpha", "a/b:c")]
    assert [entry.name for entry in catalogue.entries()] == ["a/b:c", "alpha", "echo", "zeta"]
    assert [catalogue.get(entry.name) for entry in entries] == entries


@pytest.mark.parametrize("name", ["a/b:c", "a..b", "a/../b", "a-b_c.d"])
def test_a_name_is_one_safe_folder_name_and_back(name: str) -> None:
    folder = directory_name(ModelName(name))
    assert "/" not in folder
    assert not folder.startswith(".")
    assert name_of(folder) == name


@pytest.mark.parametrize("name", ["../etc", "A", "", ".hidden", "x" * 97])
def test_what_is_no_model_name_reaches_no_folder(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(BadRequestError):
        catalogue.get(name)
    with pytest.raises(BadRequestError):
        catalogue.remove(name)


def test_a_home_can_be_moved(catalogue: Catalogue, weights: Path, tmp_path: Path) -> None:
    added(catalogue, weights)
    catalogue.models_dir.parent.rename(tmp_path / "elsewhere")
    moved = Catalogue(tmp_path / "elsewhere" / "models")
    entry = moved.get("tiny")
    moved.check_files(entry)
    assert Path(entry.files[0].path).read_bytes() == weights.read_bytes()


DAMAGE = {
    "cut off": lambda text: text[: len(text) // 2],
    "not JSON": lambda _: "hello",
    "empty": lambda _: "",
    "another name": lambda text: text.replace('"tiny"', '"other"'),
    "a path that leads out": lambda text: text.replace("tiny.gguf", "../tiny.gguf"),
    "a size that is text": lambda text: text.replace('"size_bytes": ', '"size_bytes": "x" , "s":'),
    "a digest that is none": lambda text: text.replace("sha256:", "md5:"),
    "another format": lambda text: text.replace('"format": 1', '"format": 2'),
    "no kinds": lambda text: text.replace('"chat",', "").replace('"complete"', ""),
    "marks missing": lambda text: json.dumps(json.loads(text) | {"marks": []}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_entry_is_one_clear_error_and_hides_no_other(
    catalogue: Catalogue, weights: Path, damage: Callable[[str], str]
) -> None:
    added(catalogue, weights)
    added(catalogue, weights, "whole")
    record = catalogue.models_dir / "tiny" / "entry.json"
    before = record.read_text()
    record.write_text(damage(before))
    assert record.read_text() != before
    assert [entry.name for entry in catalogue.entries()] == ["echo", "whole"]
    (error,) = catalogue.damaged()
    assert str(record) in error.message
    with pytest.raises(ModelDamagedError, match="models remove tiny"):
        catalogue.get("tiny")
    catalogue.remove("tiny")
    assert added(catalogue, weights).name == "tiny"


def test_a_folder_without_an_entry_is_damage_too(catalogue: Catalogue) -> None:
    (catalogue.models_dir / "odd").mkdir(parents=True)
    with pytest.raises(ModelDamagedError):
        catalogue.get("odd")


def test_unchanged_files_are_not_read_again(catalogue: Catalogue, weights: Path) -> None:
    entry = added(catalogue, weights)
    stages: list[str] = []
    catalogue.check_files(entry, lambda stage, _done, _total: stages.append(stage))
    assert stages == []


def test_files_that_only_look_new_are_hashed_once_and_then_known(
    catalogue: Catalogue, weights: Path
) -> None:
    entry = added(catalogue, weights)
    os.utime(entry.files[0].path, ns=(1, 1))
    stages: list[str] = []
    for _ in range(2):
        catalogue.check_files(entry, lambda stage, _done, _total: stages.append(stage))
    assert stages == ["checking tiny.gguf"]


@pytest.mark.parametrize("copy", [True, False])
def test_files_with_other_bytes_are_refused(
    catalogue: Catalogue, weights: Path, copy: bool
) -> None:
    entry = added(catalogue, weights, copy=copy)
    path = Path(entry.files[0].path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestMismatchError, match="has changed"):
        catalogue.check_files(entry)


def test_files_that_are_gone_are_refused(catalogue: Catalogue, weights: Path) -> None:
    entry = added(catalogue, weights, copy=False)
    weights.unlink()
    with pytest.raises(DigestMismatchError, match="can't be read"):
        catalogue.check_files(entry)


def test_a_model_removed_meanwhile_is_unknown(catalogue: Catalogue, weights: Path) -> None:
    entry = added(catalogue, weights)
    catalogue.remove("tiny")
    with pytest.raises(UnknownModelError):
        catalogue.check_files(entry)
    with pytest.raises(UnknownModelError):
        catalogue.remove("tiny")


def test_removing_frees_the_copy_and_leaves_a_file_used_in_place(
    catalogue: Catalogue, weights: Path
) -> None:
    added(catalogue, weights, "copied")
    added(catalogue, weights, "placed", copy=False)
    assert catalogue.remove("copied") > weights.stat().st_size
    assert catalogue.remove("placed") < 10_000
    assert weights.exists()
    assert list(catalogue.models_dir.iterdir()) == []


def test_a_taken_name_is_refused(catalogue: Catalogue, weights: Path) -> None:
    added(catalogue, weights)
    for name in ("tiny", "echo"):
        with pytest.raises(ConflictError):
            added(catalogue, weights, name)
    assert [path.name for path in catalogue.models_dir.iterdir()] == ["tiny"]


def test_a_home_that_can_not_be_written_is_said_to_be_one(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnwritableError):
        added(Catalogue(tmp_path / "file" / "models"), weights)


def test_a_disk_that_fills_up_is_said_to_be_full(catalogue: Catalogue, weights: Path) -> None:
    def full(_stage: str, _done: int, _total: int | None) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DiskShortError, match="became full"):
        add(catalogue, parse_source(str(weights)), full)
    assert list(catalogue.models_dir.iterdir()) == []


def test_an_add_killed_at_any_point_leaves_nothing_visible_and_nothing_in_the_way(
    catalogue: Catalogue, weights: Path
) -> None:
    visible = []
    for moment in range(1, 200):
        status = killed_at(moment, lambda: added(catalogue, weights))
        names = [entry.name for entry in catalogue.entries()]
        assert names in (["echo"], ["echo", "tiny"])
        assert catalogue.damaged() == ()
        visible.append("tiny" in names)
        if not visible[-1]:
            added(catalogue, weights)
        catalogue.check_files(catalogue.get("tiny"))
        assert [path.name for path in catalogue.models_dir.iterdir()] == ["tiny"]
        catalogue.remove("tiny")
        if status == 0:
            break
    assert status == 0
    assert visible[0] is False
    assert visible[-1] is True
    assert len(visible) > 10


def test_a_removal_killed_at_any_point_leaves_the_model_whole_or_gone(
    catalogue: Catalogue, weights: Path
) -> None:
    for moment in range(1, 100):
        if not catalogue.has("tiny"):
            added(catalogue, weights)
        status = killed_at(moment, lambda: catalogue.remove("tiny"))
        assert catalogue.damaged() == ()
        if catalogue.has("tiny"):
            catalogue.check_files(catalogue.get("tiny"))
        if status == 0:
            break
    assert status == 0
    added(catalogue, weights)
    assert [path.name for path in catalogue.models_dir.iterdir()] == ["tiny"]


def test_a_second_process_waits_for_the_first_and_then_finds_the_model(
    catalogue: Catalogue, weights: Path
) -> None:
    inside, tell_inside = os.pipe()
    go_on, tell_go_on = os.pipe()

    def first() -> None:
        def progress(_stage: str, _done: int, _total: int | None) -> None:
            os.write(tell_inside, b"x")
            os.read(go_on, 1)

        add(catalogue, parse_source(str(weights)), progress, "tiny")

    child = os.fork()
    if child == 0:
        try:
            first()
        finally:
            os._exit(0)
    os.read(inside, 1)
    assert [one.name for one in catalogue.unfinished()] == ["tiny"]
    with pytest.raises(ConflictError, match="another process"):
        catalogue.remove("tiny")
    stages = []

    def second_progress(stage: str, _done: int, _total: int | None) -> None:
        stages.append(stage)
        os.write(tell_go_on, b"x")

    with pytest.raises(ConflictError, match="there already"):
        add(catalogue, parse_source(str(weights)), second_progress, "tiny")
    assert os.waitpid(child, 0)[1] == 0
    assert stages[0].startswith("waiting for another process")
    assert catalogue.has("tiny")
    for end in (inside, tell_inside, go_on, tell_go_on):
        os.close(end)


def test_a_first_process_that_dies_makes_way_for_the_second(
    catalogue: Catalogue, weights: Path
) -> None:
    def dies(_stage: str, _done: int, _total: int | None) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    status = in_child(lambda: add(catalogue, parse_source(str(weights)), dies, "tiny"))
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert added(catalogue, weights).name == "tiny"


def test_whoever_stops_waiting_leaves_the_first_one_alone(
    catalogue: Catalogue, weights: Path
) -> None:
    with catalogue.adding(ModelName("tiny"), resumable=False, progress=ignore) as staging:
        (staging.directory / "kept").write_text("")
        stopped = threading.Event()

        def second() -> None:
            def stop(_stage: str, _done: int, _total: int | None) -> None:
                raise KeyboardInterrupt

            try:
                add(catalogue, parse_source(str(weights)), stop, "tiny")
            except KeyboardInterrupt:
                stopped.set()

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(10)
        assert stopped.is_set()
        assert (staging.directory / "kept").exists()
        shutil.rmtree(staging.directory)


def test_what_an_unfinished_add_left_can_be_removed(catalogue: Catalogue) -> None:
    def broken_off() -> None:
        with catalogue.adding(ModelName("a/b"), resumable=True, progress=ignore) as staging:
            (staging.directory / "part").write_bytes(b"x" * 1000)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert [(one.name, one.size_bytes) for one in catalogue.unfinished()] == [("a/b", 1000)]
    assert catalogue.remove("a/b") == 1000
    assert catalogue.unfinished() == ()
