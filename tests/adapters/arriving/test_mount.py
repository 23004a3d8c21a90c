"""What arrives is read as a file: right bytes, whatever the order, and an end to every wait."""

import asyncio
import errno
import hashlib
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from littoral.adapters.arriving import Mount, unmounted
from tests.adapters.arriving.made import Arriving, mounted, python, said, stale_mount, until

DATA = random.Random(5).randbytes(3_000_007)
PIECE = 100_000

HASH = """
import hashlib, sys
with open(sys.argv[1], "rb") as file: print(hashlib.file_digest(file, "sha256").hexdigest())
"""

IN_ANY_ORDER = """
import hashlib, os, random, sys
chance, size, file = random.Random(sys.argv[2]), int(sys.argv[3]), os.open(sys.argv[1], os.O_RDONLY)
cuts = sorted({0, size, *(chance.randrange(size) for _ in range(60))})
parts = list(zip(cuts, cuts[1:]))
found = {}
for start, end in chance.sample(parts, len(parts)):
    data = b""
    while start + len(data) < end:
        data += os.pread(file, end - start - len(data), start + len(data))
    found[start] = data
print(hashlib.sha256(b"".join(found[start] for start, _ in parts)).hexdigest())
"""

MAPPED = """
import hashlib, mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
    print(hashlib.sha256(data[-9000:] + data[:-9000]).hexdigest())
"""

FAILING = """
import sys
try:
    with open(sys.argv[1], "rb") as file: file.read()
except OSError as error:
    print(error.errno)
"""

LISTING = """
import os, sys
for folder, folders, files in os.walk(sys.argv[1]):
    print(os.path.basename(folder), sorted(folders), sorted(files))
    for name in files: print(oct(os.stat(os.path.join(folder, name)).st_mode & 0o777))
try: open(os.path.join(sys.argv[1], "new"), "w")
except OSError as error: print(error.errno)
"""


@pytest.fixture
async def mount(tmp_path: Path) -> AsyncIterator[Mount]:
    made = mounted(tmp_path / "mnt")
    yield made
    made.close()


def of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def arrive(file: Arriving, seed: int) -> None:
    """All of it, in an order of its own."""
    starts = list(range(0, len(DATA), PIECE))
    random.Random(seed).shuffle(starts)
    for start in starts:
        file.come(start, start + PIECE)
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(4))
async def test_bytes_read_in_any_order_while_they_arrive_in_another_are_the_files(
    mount: Mount, seed: int
) -> None:
    file = Arriving(DATA)
    folder = mount.offer("artifact", {"model.gguf": file})
    path = folder / "model.gguf"
    readers = [
        await python(IN_ANY_ORDER, path, seed, len(DATA)),
        await python(HASH, path),
    ]
    await until(lambda: file.waits)
    await arrive(file, seed)
    assert {await said(reader) for reader in readers} == {of(DATA) + "\n"}


async def test_it_can_be_mapped(mount: Mount) -> None:
    file = Arriving(DATA)
    reader = await python(MAPPED, mount.offer("artifact", {"a": file}) / "a")
    await until(lambda: file.asked)
    assert file.asked[0] > len(DATA) // 2, "the end is wanted first"
    await arrive(file, 1)
    assert await said(reader) == of(DATA[-9000:] + DATA[:-9000]) + "\n"


async def test_who_waits_for_what_will_never_come_gets_an_error(mount: Mount) -> None:
    file = Arriving(DATA)
    path = mount.offer("artifact", {"a": file}) / "a"
    reader = await python(FAILING, path)
    file.come(0, PIECE)
    await until(lambda: file.waits)
    file.fail()
    assert await said(reader) == f"{errno.EIO}\n"
    assert await said(await python(FAILING, path)) == f"{errno.EIO}\n"


async def test_who_waits_may_be_killed(mount: Mount) -> None:
    file = Arriving(DATA)
    reader = await python(HASH, mount.offer("artifact", {"a": file}) / "a")
    await until(lambda: file.waits)
    reader.send_signal(signal.SIGKILL)
    async with asyncio.timeout(5):
        await reader.wait()
    mount.withdraw("artifact")
    file.fail()  # what it had read ahead is asked for still
    await until(lambda: mount.is_idle)


async def test_what_is_withdrawn_is_read_on_by_who_has_it_open_and_opened_by_nobody(
    tmp_path: Path,
) -> None:
    ends: list[str] = []
    mount = mounted(tmp_path / "mnt", lambda: ends.append("idle"))
    try:
        file = Arriving(DATA)
        path = mount.offer("artifact", {"a": file}) / "a"
        reader = await python(HASH, path)
        await until(lambda: file.waits)
        mount.withdraw("artifact")
        assert await said(await python(FAILING, path)) == f"{errno.ENOENT}\n"
        assert not ends
        file.come(0, len(DATA))
        assert await said(reader) == of(DATA) + "\n"
        await until(lambda: ends)
    finally:
        mount.close()


async def test_what_is_there_can_be_looked_at_and_nothing_be_written(mount: Mount) -> None:
    files = {"one": Arriving(b""), "two%2Fthree": Arriving(DATA)}
    mount.offer("artifact", files)
    folder = mount.offer("another", {f"{number:04}": Arriving(b"x") for number in range(300)})
    lines = (await said(await python(LISTING, folder.parent))).splitlines()
    assert lines[0] == "mnt ['another', 'artifact'] []"
    assert "artifact [] ['one', 'two%2Fthree']" in lines
    assert f"another [] {[f'{number:04}' for number in range(300)]}" in lines
    assert lines.count("0o400") == 302
    assert lines[-1] == str(errno.EROFS)


async def test_where_it_ends_who_waits_ends_and_the_folder_is_a_folder_again(
    tmp_path: Path,
) -> None:
    mount, file = mounted(tmp_path / "mnt"), Arriving(DATA)
    reader = await python(FAILING, mount.offer("artifact", {"a": file}) / "a")
    await until(lambda: file.waits)
    mount.close()
    assert int(await said(reader)) in {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO}
    assert not file.waits
    assert list((tmp_path / "mnt").iterdir()) == []


@pytest.mark.parametrize("name", ["mnt", "with a space"])
async def test_what_a_killed_process_had_mounted_is_taken_away(tmp_path: Path, name: str) -> None:
    mounted(tmp_path / "probe").close()
    folder = tmp_path / name
    await stale_mount(folder)
    with pytest.raises(OSError, match="not connected"):
        list(folder.iterdir())
    second = mounted(folder)
    assert second.offer("artifact", {}) == folder / "artifact"
    second.close()
    unmounted(folder)
    assert list(folder.iterdir()) == []
