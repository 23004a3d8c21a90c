"""Has a PoP answer from memory: its door recalls, its hot path before the cache, pipelines run."""

from collections.abc import Awaitable, Callable

from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.node.exchanges import Exchanges
from littoral.node.memory.house import House
from littoral.node.pipelines import PipelineParts, PipelineRuns
from littoral.node.relay.relay import Relay
from littoral.node.relay.remembering import Remembering
from littoral.node.reranking import ReachedReranker
from littoral.node.sourcing import Sourcing
from littoral.terms.pipelines import PipelineShown

__all__ = ["answer_from_memory"]


def answer_from_memory(
    memory: House | None,
    door: Exchanges,
    relay: Relay,
    upstreams: Upstreams,
    find: Callable[[str], Awaitable[PipelineShown]],
) -> None:
    """Let a PoP that is put together answer from what it keeps.

    Args:
        memory: its collections; without them, pipelines run that recall nothing.
        door: of the PoP.
        relay: its hot path.
        upstreams: the way to servers that sort passages.
        find: a pipeline by its name.
    """
    parts, desk = door.parts, relay.desk
    clock, observe, entries = desk.clock, desk.observe, parts.host.entries
    reranker = ReachedReranker(entries, upstreams, parts.keyring, door)
    if memory is not None:
        memory.reranker = reranker
        door.sourcing = sourcing = Sourcing(memory, clock, observe)
        relay.remembering = Remembering(sourcing, desk)
    door.pipelines = PipelineRuns(
        PipelineParts(
            find=find,
            door=door,
            run=door.run,
            entries=entries,
            bring=door.bring,
            memory=memory,
            reranker=reranker,
            clock=clock,
            observe=observe,
        )
    )
