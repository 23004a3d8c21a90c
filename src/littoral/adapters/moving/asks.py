"""What is said to a peer over a stream of chunks: a line of JSON each time it is to send others.

    {"runs": [[first, end], ...]}      these too, after those that were asked for before
    {"dropped": [[first, end], ...]}   these no more

The first line may say `"encoded": true`, for chunks in planes and, with `"base": "ARTIFACT"`,
against an artifact that whoever asks has whole. It counts for the whole stream.
"""

import msgspec

from littoral.adapters.http.words import MalformedError
from littoral.delivery.chunk_set import ChunkSet, Run
from littoral.terms.limits import DELIVERY_CHUNKS_MAX

__all__ = ["Ask", "heard"]


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line."""

    runs: tuple[Run, ...] = ()
    dropped: tuple[Run, ...] = ()
    encoded: bool = False
    base: str = ""

    def line(self) -> bytes:
        """As it is said, without its end."""
        return msgspec.json.encode(self)

    @property
    def wanted(self) -> ChunkSet:
        """All that is asked for."""
        return ChunkSet.of_runs(self.runs)

    @property
    def unwanted(self) -> ChunkSet:
        """All that is not asked for any more."""
        return ChunkSet.of_runs(self.dropped)


def heard(line: bytes) -> Ask:
    """What a peer has said.

    Raises:
        MalformedError: it is none, or of more chunks than an artifact may have.
    """
    try:
        ask = msgspec.json.decode(line, type=Ask)
    except msgspec.MsgspecError:
        raise MalformedError("a line that asks for no chunks") from None
    for first, end in (*ask.runs, *ask.dropped):
        if not 0 <= first < end <= DELIVERY_CHUNKS_MAX:
            raise MalformedError("runs of chunks that there can't be")
    return ask
