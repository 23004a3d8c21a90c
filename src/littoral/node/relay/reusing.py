"""Reuse by meaning in the way of a hot request: when the cache has no answer to the same words.

What is decided, and what is learnt, is `node/reuse.py`'s to say. This reads what a request wants of
it, gives it answers to look at, and tells it of those that were computed.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from littoral.adapters.answers import AnswerStore
from littoral.adapters.reuse import QuestionBook
from littoral.cache import freshness
from littoral.cache.answers import StoredAnswer
from littoral.cache.freshness import NO_DIRECTIVES
from littoral.cache.keys import Identities
from littoral.cache.semantic import Reuse, reuse_of
from littoral.node.relay.desk import Order
from littoral.node.reuse import Embed, Explore, Judgement, Nothing, SemanticReuse, Serve, headers
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import Ask, Finish, Kind, ModelEntry
from littoral.trust.digests import texts_of
from littoral.web.head import Head
from littoral.web.response import written

__all__ = ["KeptAnswer", "Reusing", "Wishes", "said_of"]


class KeptAnswer(msgspec.Struct, frozen=True):
    """A stored answer, read."""

    stored: StoredAnswer
    texts: Sequence[bytes]


class Wishes:
    """What requests want of reuse, and may."""

    def __init__(self, open_bound: float) -> None:
        """Know the operator's word.

        Args:
            open_bound: what requests may ask for whose key has no bound; 0 is nothing.
        """
        self._open_bound = open_bound or None

    def of(self, order: Order, head: Head) -> Reuse | None:
        """How this request may be answered by reuse; None for not at all.

        Raises:
            BadRequestError: its header can't be read.
            NotAllowedError: it asks for more than it may.
        """
        if order.sources is not None:
            return None  # what it was made from is no word of the question
        bound = order.caller.reuse_error_max
        if bound is None and "littoral-reuse" not in head.headers:
            return None
        reuse = reuse_of(head.headers.get("littoral-reuse"), bound, self._open_bound)
        return reuse if order.api.kind is Kind.CHAT else None


class Reusing:
    """Reuse, as the relay of the process that has the models uses it."""

    def __init__(
        self,
        book: QuestionBook,
        answers: AnswerStore,
        *,
        embed: Embed,
        policy_epoch: int,
        clock: Clock,
        observe: Observe,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        """Take what it uses.

        Args:
            book: the questions and what was learnt of them.
            answers: what is kept.
            embed: one text to one vector.
            policy_epoch: as for the exact cache.
            clock: wall-clock time, and luck.
            observe: takes the facts.
            spawn: owns the task that learns.
        """
        self._answers = answers
        self._policy_epoch = policy_epoch
        self._clock = clock
        self._spawn = spawn
        self._identities = Identities()
        self._reuse = SemanticReuse(
            book, embed=embed, answer_of=self._kept, clock=clock, observe=observe
        )

    async def judge(self, order: Order, entry: ModelEntry, reuse: Reuse) -> Judgement[KeptAnswer]:
        """What to do with a request that the exact cache has no answer to."""
        judgement = await self._reuse.judge(
            Ask(
                api=order.api.name,
                kind=order.api.kind,
                model=entry.name,
                body=msgspec.json.decode(order.raw),
                stream=bool(order.wish.stream),
            ),
            order.caller,
            reuse,
            model=self._identities.of(entry),
            policy_epoch=self._policy_epoch,
        )
        if isinstance(judgement, Serve) and judgement.answer.stored.scope != order.caller.scope:
            return Nothing()  # it can't be: its partition has the scope
        return judgement

    def learn(self, judgement: Judgement[KeptAnswer], answer: StoredAnswer, *, kept: bool) -> None:
        """Take what the model answered, if it is one text that ended by itself.

        Args:
            judgement: what was judged of the request.
            answer: the model's own, and one that may be kept.
            kept: whether it is.
        """
        texts = texts_of(answer.api, answer.body) or ()
        if isinstance(judgement, Serve) or answer.finish is not Finish.STOP or len(texts) != 1:
            return
        self._spawn(self._learn(judgement, texts[0].decode(), answer.key if kept else None))

    async def _learn(self, judgement: Explore | Nothing, text: str, kept: bytes | None) -> None:
        await self._reuse.learn(judgement, text, kept)

    def _kept(self, key: bytes, model: str) -> KeptAnswer | None:
        """The answer of this key that is still fresh."""
        stored = self._answers.get(key, model)
        if stored is None or not freshness.is_fresh(
            stored.stored_unix_ns, stored.expires_unix_ns, self._clock.unix_ns(), NO_DIRECTIVES
        ):
            return None
        return KeptAnswer(stored, texts_of(stored.api, stored.body) or ())


def said_of(judgement: Judgement[KeptAnswer], reuse: Reuse) -> str:
    """The header field that says what was done."""
    return written(headers(judgement, reuse))
