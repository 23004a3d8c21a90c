"""Sockets that would hold up whoever closes them, and how they are made not to.

Zenoh has each of its sockets linger: to close one stops a thread until the other side has taken
all that was sent, for ten seconds at most. One whose link is cut never takes it. Zenoh closes on
the two threads that receive for all links, so that a PoP that was cut off saw the others go one
after another, for twenty seconds, and those around it lost others that were there. There is no
setting for it. Nothing is lost without it: what matters is said again.
"""

import contextlib
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

__all__ = ["linger_no_more"]

_FOLDER: Final = Path("/dev/fd")
_LINGER: Final = struct.Struct("ii")
"""On or off, and for how many seconds."""
_OFF: Final = _LINGER.pack(0, 0)


def linger_no_more() -> int:
    """Have no socket of this process linger when it is closed; how many did so.

    On any thread. It looks at every open file, some 5 us each: it is for when a link comes up.
    """
    return sum(_changed(int(each.name)) for each in _FOLDER.iterdir())


def _changed(descriptor: int) -> bool:
    """Whether this one did; it may be closed meanwhile, or another one's."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            with socket.socket(fileno=os.dup(descriptor)) as same:
                return _changed_socket(same)
    return False


def _changed_socket(same: socket.socket) -> bool:
    if same.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    lingers, _ = _LINGER.unpack(same.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.size))
    if lingers:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _OFF)
    return bool(lingers)
