"""One text to one vector, by a model of this PoP's own, for the PoP's own use."""

from collections.abc import Sequence
from typing import Final

import msgspec

from littoral.node.host import ModelHost
from littoral.serving.plan import BYTES_PER_TOKEN
from littoral.terms.errors import EngineFailedError
from littoral.terms.ids import ModelName
from littoral.terms.values import EngineCall, Kind

__all__ = ["Embedder"]


class _Vector(msgspec.Struct):
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Vector]


_decode: Final = msgspec.json.Decoder(_Answer).decode


class Embedder:
    """Embeds by one model. It waits in the model's queue like any request."""

    def __init__(self, host: ModelHost, model: ModelName, *, wait: int) -> None:
        """Load nothing yet.

        Args:
            host: has the model.
            model: its name; it need not be there.
            wait: nanoseconds to wait for it at most.
        """
        self._host = host
        self._model = model
        self._wait = wait

    async def __call__(self, text: str) -> Sequence[float]:
        """The vector.

        Raises:
            LittoralError: there is none: no such model, no room, or it failed.
        """
        entry = self._host.entries.entry(self._model)
        call = EngineCall(
            Kind.EMBED, {"model": entry.name, "input": text}, stream=False, model=entry.name
        )
        tokens = len(text.encode()) // BYTES_PER_TOKEN + 1
        lease = await self._host.lease(entry.name, tokens, 1, wait=self._wait)
        try:
            async with lease.engine.open(call) as chunks:
                body = b"".join([data async for data in chunks])
        finally:
            self._host.release(lease.ticket)
        try:
            (vector,) = _decode(body).data
        except (msgspec.MsgspecError, ValueError) as error:
            raise EngineFailedError(f"{entry.name} has not answered with a vector") from error
        return vector.embedding
