"""One request of a collection, as the APIs of others name it: by the path."""

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from littoral.terms.collections import Memory, OpenCollection
from littoral.terms.values import Caller
from littoral.web.dialects.reading import decoded
from littoral.web.http import Request

__all__ = ["Asked"]

Body = TypeVar("Body", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request below a collection."""

    request: Request
    memory: Memory
    caller: Caller
    name: str
    """The collection's."""
    last: str
    """What the end of the path names, where it names something."""

    async def opened(self) -> OpenCollection:
        """The collection."""
        return await self.memory.open(self.name, self.caller)

    def body(self, decoder: "msgspec.json.Decoder[Body]") -> Body:
        """What was sent."""
        return decoded(self.request.body, decoder)
