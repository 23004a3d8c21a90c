"""Mounts and unmounts: by the system call where that is allowed, else through `fusermount3`.

Where neither works (no `/dev/fuse`, a container without the right, another system than Linux)
there is no mount, and whoever wanted one does without.
"""

import array
import ctypes
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["NoMountError", "mounted", "unmounted"]

_DEVICE: Final = "/dev/fuse"
_PROGRAM: Final = "fusermount3"
_READ_ONLY_NO_SETUID_NO_DEVICES: Final = 0x1 | 0x2 | 0x4
_DETACH: Final = 2
_OPTIONS: Final = ("-o", "ro,nosuid,nodev,fsname=littoral,subtype=littoral")
_PROGRAM_S: Final = 10.0
_MOUNTS: Final = Path("/proc/self/mounts")


class NoMountError(Exception):
    """There can be no mount here; the message says why."""


def mounted(folder: Path) -> int:
    """Mount on a folder, which is made if need be; the open, non-blocking way to the kernel.

    Raises:
        NoMountError: that is not possible here; the reason is said.
    """
    unmounted(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NoMountError(f"{folder} can't be made ({error.strerror})") from error
    try:
        return _by_call(folder)
    except AttributeError as error:
        raise NoMountError("this system has no such mounts") from error
    except OSError as error:
        if shutil.which(_PROGRAM) is None:
            reason = f"{error.strerror}, and there is no {_PROGRAM}"
            raise NoMountError(f"nothing can be mounted on {folder} ({reason})") from error
    return _by_fusermount(folder)


def unmounted(folder: Path) -> None:
    """See that nothing is mounted there, whoever has mounted it; what is open stays open."""
    if not _is_mounted(folder):
        return
    with suppress(OSError, AttributeError):
        _call("umount2", os.fsencode(folder), _DETACH)
        return
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            [_PROGRAM, "-u", "-z", "--", str(folder)],
            timeout=_PROGRAM_S, check=False, capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def _is_mounted(folder: Path) -> bool:
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return False
    return any(_plain(line.split(b" ")[1]) == os.fsencode(folder) for line in lines)


def _plain(path: bytes) -> bytes:
    """A path of the kernel's table, which says spaces and the like in octal."""
    first, *rest = path.split(b"\\")
    return first + b"".join(bytes([int(each[:3], 8)]) + each[3:] for each in rest)


def _by_call(folder: Path) -> int:
    way = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    options = f"fd={way},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    try:
        _call(
            *("mount", b"littoral", os.fsencode(folder), b"fuse.littoral"),
            *(_READ_ONLY_NO_SETUID_NO_DEVICES, options.encode()),
        )
    except BaseException:
        os.close(way)
        raise
    return way


def _by_fusermount(folder: Path) -> int:
    """As `fusermount3` does it for whoever may not: it passes the way on over a socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            done = subprocess.run(
                ["env", f"_FUSE_COMMFD={theirs.fileno()}", _PROGRAM, *_OPTIONS, "--", folder],
                pass_fds=[theirs.fileno()],
                timeout=_PROGRAM_S, check=False, capture_output=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise NoMountError(f"{_PROGRAM} did not end ({error})") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise NoMountError(f"nothing can be mounted on {folder} ({said})")
        ours.settimeout(_PROGRAM_S)
        found = array.array("i")
        _, passed, *_ = ours.recvmsg(1, socket.CMSG_SPACE(found.itemsize))
        for _, _, data in passed:
            found.frombytes(data[: found.itemsize])
    if not found:
        raise NoMountError(f"{_PROGRAM} passed nothing on")
    os.set_blocking(found[0], False)
    os.set_inheritable(found[0], False)
    return found[0]


def _call(name: str, *arguments: bytes | int) -> None:
    """A function of the C library that says -1 where it fails."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
