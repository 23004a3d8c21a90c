"""The client of the story: asks one PoP, as any client does, and measures what comes."""

from collections.abc import Mapping
from typing import Final

from littoral.node.asking import PopClient, Reply
from littoral.node.demo.told import Answer
from littoral.terms.errors import DemoFailedError
from littoral.terms.fabric import FabricShown, PopRow, RouteShown, RouteWanted
from littoral.terms.ids import ModelName, PopId
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Source
from littoral.trust.receipts import stated
from littoral.trust.saved import read_saved
from littoral.web.fabric import FABRIC

__all__ = ["Asking", "milliseconds", "seconds"]

_OPTIONS: Final = {"temperature": 0, "max_tokens": 48}
"""The likeliest answer is one that may be given again."""


class Asking:
    """Asks one PoP."""

    def __init__(self, client: PopClient, names: Mapping[PopId, str], clock: Clock) -> None:
        """Ask nothing yet.

        Args:
            client: of the PoP.
            names: what the story calls each PoP.
            clock: measures.
        """
        self._client = client
        self._names = names
        self._clock = clock

    async def fabric(self) -> FabricShown:
        """What it knows of all PoPs."""
        return await self._client.get(FABRIC, FabricShown)

    async def row(self, pop: PopId) -> PopRow:
        """What it knows of one."""
        return next(row for row in (await self.fabric()).pops if row.pop == pop)

    async def route(self, model: ModelName, prompt: str) -> tuple[str, ...]:
        """Where it would send this, and why, best first."""
        wanted = RouteWanted(model, prompt)
        return (await self._client.post(f"{FABRIC}/route", wanted, RouteShown)).candidates

    async def ask(
        self, model: ModelName, prompt: str, source: Source, by: str
    ) -> tuple[Answer, Reply]:
        """Ask it.

        Args:
            model: asked.
            prompt: what is asked.
            source: where its answer should come from.
            by: the machine that should have made it.

        Raises:
            DemoFailedError: it came from elsewhere, or there was none.
        """
        reasons = await self.route(model, prompt)
        came: list[int] = []
        began = self._clock.now()
        reply = await self._client.chat(
            model,
            [{"role": "user", "content": prompt}],
            _OPTIONS,
            lambda _: came.append(self._clock.now()),
        )
        ended = self._clock.now()
        if not came:
            raise DemoFailedError(f"{model} has said nothing")
        answer = Answer(
            model=model,
            prompt=prompt,
            text=reply.text.strip(),
            first_ms=milliseconds(came[0] - began),
            whole_ms=milliseconds(ended - began),
            by=self._maker(reply),
            pop=PopId(reply.headers.get("littoral-pop", "")),
            source=reply.headers.get("littoral-source", ""),
            cache_status=reply.headers.get("cache-status", ""),
            receipt=reply.receipt_id,
            reasons=reasons,
        )
        if (answer.source, answer.by) != (source.value, by):
            raise DemoFailedError(
                f"{prompt!r} was answered by {answer.by} ({answer.source}), not by {by} "
                f"({source.value})"
            )
        return answer, reply

    def _maker(self, reply: Reply) -> str:
        """The machine whose receipt is countersigned; without one, that which was asked."""
        document = read_saved(reply.bundle()).document
        assert document is not None, "a bundle has its receipt"
        receipt = stated(document)
        pop = receipt.pop if receipt.parent is None else receipt.parent.pop
        return self._names.get(pop, pop)


def milliseconds(nanoseconds: int) -> float:
    """For a person."""
    return round(nanoseconds * 1000 / SECOND, 2)


def seconds(nanoseconds: int) -> float:
    """For a person."""
    return round(nanoseconds / SECOND, 3)
