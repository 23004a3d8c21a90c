"""Files that a person asks for: made new, readable by their owner alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from littoral.terms.errors import ConflictError, HomeUnwritableError

__all__ = ["new_file"]


@contextmanager
def new_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """A new file, and what writes it; without it when the context fails.

    It is made at once, so that long work does not end in a file that can't be written.

    Raises:
        ConflictError: there is such a file.
        HomeUnwritableError: it can't be made or written.
    """

    def write(data: bytes) -> None:
        try:
            path.write_bytes(data)
        except OSError as error:
            raise _unwritable(path, error) from None

    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise ConflictError(f"{path} is there already", advice="name another file") from None
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        yield write
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _unwritable(path: Path, error: OSError) -> HomeUnwritableError:
    return HomeUnwritableError(
        f"{path} can't be written ({error.strerror})", advice="name another file"
    )
