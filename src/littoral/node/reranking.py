"""Models that sort passages, as this PoP can reach them: those of servers with a `/rerank` API.

Each time counts as a request of its caller's, and its tokens as the texts' bytes have them; there
is no text in what comes back, and so no receipt of it. A model that chats is not asked to sort: the
small ones that run beside a PoP sort no better than chance, and a large one would cost an answer.
"""

from collections.abc import Sequence

from littoral.adapters.upstreams.reranking import reranks, scored
from littoral.adapters.upstreams.upstreams import Upstreams
from littoral.node.entries import Entries, entry_for
from littoral.node.keyring import Keyring
from littoral.serving.plan import BYTES_PER_TOKEN
from littoral.terms.errors import UnsupportedError
from littoral.terms.ids import ModelName
from littoral.terms.values import Caller

__all__ = ["UpstreamReranker"]


class UpstreamReranker:
    """See `terms.reranking.Reranker`."""

    def __init__(self, entries: Entries, upstreams: Upstreams, keyring: Keyring) -> None:
        self._entries = entries
        self._upstreams = upstreams
        self._keyring = keyring

    def check(self, model: ModelName) -> None:
        """See that a model can be asked for this."""
        if not reranks(self._entries.entry(model)):
            raise UnsupportedError(
                f"{model} does not sort passages",
                advice="name one of a server with a /rerank API: "
                "`littoral models add upstream:URL --name NAME --native-api rerank`",
                param="rerank",
            )

    async def scores(
        self, model: ModelName, question: str, texts: Sequence[str], caller: Caller
    ) -> Sequence[float]:
        """How well each text answers the question."""
        entry = entry_for(self._entries, model, caller)
        self.check(model)
        said = sum(len(text.encode()) + len(question.encode()) for text in texts)
        tokens = said // BYTES_PER_TOKEN + 1
        reservation = self._keyring.reserve(caller, tokens)
        try:
            found = await scored(self._upstreams, entry, question, texts)
        except BaseException:
            self._keyring.release(reservation)
            raise
        self._keyring.settle(reservation, tokens)
        return found
