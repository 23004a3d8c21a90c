"""Files that others may open and read while they still arrive, on a mount of their own.

The mount speaks the kernel's FUSE protocol itself: a read that has to wait is a value that is kept
until its bytes are here, on one loop, without a thread for each and without a library.

    words.py     what the kernel asks and is answered, as bytes
    mounting.py  mounts and unmounts: by the system call, or through `fusermount3`
    mount.py     the files, and the reads that wait for them

It does not know what arrives from where (`node/delivery/`).
"""

from littoral.adapters.arriving.mount import Bytes, Mount, Take
from littoral.adapters.arriving.mounting import NoMountError, unmounted

__all__ = ["Bytes", "Mount", "NoMountError", "Take", "unmounted"]
