"""The links of a group: to which other PoPs, who dials, and what is said and heard over them.

Who says that it has all of it is dialled by the others: it need not even know that it is asked. Of
two others the one with the lower name dials, unless the other can't be dialled. A link that ends is
dialled again after a while, as long as it is wanted. What is said is news (`delivery/news.py`).

Where artifacts may go one way only, whoever may fetch dials, and takes the other for one that has
something and wants nothing; the other does not listen.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from msgspec import structs

from littoral.adapters.http.words import HttpError
from littoral.adapters.moving.words import HearsNews, Peer
from littoral.delivery import news as wire
from littoral.delivery.grouping import company
from littoral.delivery.news import News
from littoral.delivery.words import Role
from littoral.node.delivery.around import Around
from littoral.node.delivery.others import Mate
from littoral.terms.ids import PopId, SiteName
from littoral.trust.members import Member

__all__ = ["Hears", "Links"]

log = logging.getLogger("littoral")

_DIAL_AGAIN_S: Final = 0.5


class Hears(Protocol):
    """Whose links they are."""

    def is_whole(self) -> bool:
        """Whether it is said, in this PoP's state, that all of it is here."""

    def greeting(self) -> News:
        """What is said first over a link: whole."""

    def met(self, pop: PopId, role: Role, news: News) -> None:
        """A PoP has said its first."""

    def told(self, pop: PopId, news: News) -> None:
        """It has said more."""

    def parted(self, pop: PopId) -> None:
        """The link to it has ended."""


class Links:
    """Of one group."""

    def __init__(
        self,
        around: Around,
        name: str,
        chunks: int,
        hears: Hears,
    ) -> None:
        """Know nobody yet.

        Args:
            around: this PoP, where it is, and how it dials.
            name: of the group.
            chunks: of its artifact.
            hears: told of all.
        """
        self._me, self._site = around.me, around.site
        self._client, self._listens = around.client, around.listens
        self._name = name
        self._chunks = chunks
        self._hears = hears
        self._loop = asyncio.get_running_loop()
        self._mates: Mapping[PopId, Mate] = {}
        self._sites: dict[PopId, SiteName] = {}
        self._roles: Mapping[PopId, Role] = {}
        self._links: dict[PopId, _Link] = {}
        self._dialling: dict[PopId, asyncio.TimerHandle] = {}

    def peer(self, pop: PopId) -> Peer | None:
        """How a PoP of the group is dialled; None where it can't be."""
        mate = self._mates.get(pop)
        return None if mate is None else mate.peer

    def meet(self, mates: Mapping[PopId, Mate]) -> None:
        """These have it or want it now, as far as is known here."""
        self._mates = mates
        self._sites = {pop: mate.site for pop, mate in mates.items()}
        self._group_anew()

    def called(
        self, member: Member, say: Callable[[bytes], None], *, heard: bool = True
    ) -> HearsNews | None:
        """Another PoP of the group calls; None where there is no need of a link to it.

        Args:
            member: which.
            say: takes lines to it.
            heard: what it says counts; else it may fetch from here, and is no source.
        """
        pop = member.pop
        if not heard:
            self._part(pop)
            link = self._links[pop] = _Link(self, pop, say, deaf=True)
            self._loop.call_soon(self._greet, link)
            return link
        if pop not in self._sites:  # it is quicker than the word of it
            self._sites[pop] = member.site
            self._group_anew()
        if pop not in self._roles:
            return None
        self._part(pop)
        link = self._links[pop] = _Link(self, pop, say)
        self._loop.call_soon(self._greet, link)  # once the call is answered
        return link

    def say(self, news: News) -> None:
        """Say this to all who were met."""
        line = wire.encoded(news)
        for link in self._links.values():
            if link.greeted:
                link.say(line)

    def close(self) -> None:
        """End them all."""
        self._roles = {}
        for pop in list(self._links):
            self._part(pop)
        for timer in self._dialling.values():
            timer.cancel()

    def heard(self, link: "_Link", line: bytes) -> None:
        """A PoP has said something."""
        pop = link.pop
        if self._links.get(pop) is not link or link.deaf:
            return
        try:
            news = wire.decoded(line, self._chunks)
        except ValueError as error:
            log.warning("%s says what can't be used: %s", pop, error)
            self._part(pop)
            return
        mate = self._mates.get(pop)
        if mate is not None and not mate.gets and self._roles[pop] is Role.EQUAL:
            news = structs.replace(news, pulling=False, table=None)
        if link.met:
            self._hears.told(pop, news)
        else:
            link.met = True
            self._hears.met(pop, self._roles[pop], news)

    def ended(self, link: "_Link") -> None:
        """The other side has ended a link, or it broke."""
        if self._links.get(link.pop) is link:
            self._part(link.pop)

    def _group_anew(self) -> None:
        """See with whom there is to be a link."""
        before = self._roles
        self._roles = company(self._me, {**self._sites, self._me: self._site()})
        for pop in list(self._links):
            if self._roles.get(pop) is not before.get(pop):
                self._part(pop)
        for pop in self._roles:
            self._dial(pop)

    def _dial(self, pop: PopId) -> None:
        """Call a PoP that is to be linked and is this one's to call."""
        timer = self._dialling.pop(pop, None)
        if timer is not None:
            timer.cancel()
        mate, client = self._mates.get(pop), self._client()
        if mate is None or mate.peer is None or client is None:
            return
        if pop in self._links or pop not in self._roles or self._hears.is_whole():
            return
        if not mate.peer.host and not mate.whole:
            return  # it can't be dialled, and dials
        if pop < self._me and self._listens() and mate.gets and not mate.whole:
            return
        link = self._links[pop] = _Link(self, pop, _nobody)
        news = client.news(mate.peer, self._name, link)
        link.say, link.drop = news.say, news.drop
        self._greet(link)

    def _greet(self, link: "_Link") -> None:
        link.greeted = True
        link.say(wire.encoded(self._hears.greeting()))

    def _part(self, pop: PopId) -> None:
        """End a link; it is dialled again after a while, if it is still wanted then."""
        link = self._links.pop(pop, None)
        if link is None:
            return
        link.close()
        if link.met:
            self._hears.parted(pop)
        if pop in self._roles:
            self._dialling[pop] = self._loop.call_later(_DIAL_AGAIN_S, self._dial, pop)


class _Link:
    """A link to one PoP (moving.HearsNews)."""

    def __init__(
        self, links: Links, pop: PopId, say: Callable[[bytes], None], *, deaf: bool = False
    ) -> None:
        """Made when it is called, or calls.

        Args:
            links: whose.
            pop: the other.
            say: takes lines to it.
            deaf: what it says is nothing.
        """
        self._links = links
        self.deaf = deaf
        self.pop = pop
        self.say = say
        self.drop: Callable[[], None] = _nothing
        self.greeted = False
        """It was told all that is here; from then on it is told what is new."""
        self.met = False
        """It has said its first."""

    def told(self, line: bytes) -> None:
        """See HearsNews."""
        self._links.heard(self, line)

    def parted(self, error: HttpError | None) -> None:
        """See HearsNews."""
        log.debug("the link to %s ended: %s", self.pop, error)
        self._links.ended(self)

    def close(self) -> None:
        """Say and hear nothing more."""
        self.say = _nobody
        self.drop()


def _nobody(_: bytes) -> None:
    """Nobody hears it."""


def _nothing() -> None:
    """Nothing is to be dropped."""
