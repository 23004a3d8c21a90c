"""Lines of JSON in a body that goes on, each in one chunk of the coding of HTTP/1.1."""

from typing import Final

from littoral.adapters.http.words import MalformedError
from littoral.adapters.moving.heads import Message

__all__ = ["FIELDS", "Lines", "said"]

FIELDS: Final = {"content-type": "application/x-ndjson", "transfer-encoding": "chunked"}
"""Of a head that such a body follows."""


def said(line: bytes) -> bytes:
    """A line, which must not have a line end in it, as it goes out."""
    return b"%x\r\n%b\n\r\n" % (len(line) + 1, line)


class Lines:
    """Takes a body apart."""

    def __init__(self, message: Message, bytes_max: int) -> None:
        """Expect the first.

        Args:
            message: whose head has come, and whose body is lines.
            bytes_max: of one line.
        """
        self._message = message
        self._bytes_max = bytes_max
        self._rest = b""
        """What has come of a line that is not whole."""

    @property
    def over(self) -> bool:
        """The last has come."""
        return self._message.whole

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came: the lines that are whole now, without their ends.

        Raises:
            MalformedError: these are none, or one is too long.
        """
        self._message.feed_body(data)
        *lines, self._rest = (self._rest + self._message.taken()).split(b"\n")
        if len(self._rest) > self._bytes_max:
            raise MalformedError("a line that is over the bounds")
        return lines
