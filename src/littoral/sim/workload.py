"""What the clients of a simulated network ask, in order of time.

Rules
- It depends on the description and the seed, and on nothing that is answered: every policy gets
  the very same requests, at the same times.
- A conversation is of one site, one tenant and one model. Its prompts begin with the tenant's
  system prompt, and each repeats all that was said before.
- Blocks of prompts have numbers that nobody else's have: of another tenant, model or conversation
  nothing is shared (invariant I10).
- The rate of a site follows the hour there: a cosine, whose mean over a day is `rate_per_s`.
- A trace gives arrivals, lengths and shared blocks. It is dealt to sites by conversations, so that
  prefixes stay whole: each site takes as many of them as its rate at that hour needs, several
  copies of the trace if one is not enough. Each site, window and copy begins at its own place of
  the trace, and shares no block with another. What a conversation said before its window began is
  not known there.
"""

import math
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import accumulate, count
from pathlib import Path
from typing import Final

from littoral.sim.chance import Random, mixed, source
from littoral.sim.network import Network, Site
from littoral.sim.trace import BLOCK_TOKENS, Trace, read_trace

__all__ = ["Request", "block_tokens", "mean_tokens", "requests", "windows"]

_SYSTEM: Final = 1 << 62
"""Numbers of blocks of system prompts begin here."""
_SAMPLED: Final = 2_000
"""Conversations that a mean is taken of."""
_PART_S: Final = 1800.0
"""A trace is dealt anew so often: rates follow the hour, and conversations last minutes."""


class Request:
    """One request, before anybody answers it."""

    __slots__ = (
        "answer_tokens",
        "at",
        "blocks",
        "counted",
        "model",
        "number",
        "prompt_tokens",
        "site",
    )

    def __init__(
        self,
        at: float,
        site: int,
        model: int,
        prompt_tokens: int,
        answer_tokens: int,
        blocks: tuple[int, ...],
    ) -> None:
        self.number = 0
        """In order of time."""
        self.at = at
        self.site = site
        self.model = model
        self.prompt_tokens = prompt_tokens
        self.answer_tokens = answer_tokens
        self.blocks = blocks
        """Of its prompt, as far as whole ones go."""
        self.counted = True
        """False while the network warms up."""


def block_tokens(network: Network) -> int:
    """How many tokens one block has."""
    return BLOCK_TOKENS if network.workload.trace else network.workload.block_tokens


def mean_tokens(network: Network) -> tuple[float, float]:
    """Of a prompt and of an answer, as is known before anything is asked."""
    if network.workload.trace:
        rows = read_trace(Path(network.workload.trace)).rows
        return (
            sum(row.prompt_tokens for row in rows) / len(rows),
            sum(row.answer_tokens for row in rows) / len(rows),
        )
    draw, fresh, load = source(0, "lengths"), count(1), network.workload
    prompts = answers = turns = 0
    for _ in range(_SAMPLED):
        talk = _Conversation(network, draw, fresh, (0, 0))
        while (request := talk.turn(0.0, 0)) is not None:
            prompts += request.prompt_tokens
            answers += request.answer_tokens
            turns += 1
            if draw.random() * load.turns < 1:
                break
    if not turns:
        return load.prompt_tokens, load.answer_tokens
    return prompts / turns, answers / turns


def windows(network: Network, hours: float) -> Iterator[tuple[float, float]]:
    """Beginning and end of each time that is simulated, in seconds."""
    load = network.workload
    if not load.window_minutes:
        yield 0.0, hours * 3600
        return
    start_h = 0.0
    while start_h < hours:
        yield start_h * 3600, min(start_h * 3600 + load.window_minutes * 60, hours * 3600)
        start_h += load.window_every_h


def requests(network: Network, seed: int, hours: float) -> Iterator[Request]:
    """Everything that is asked, in order of time."""
    numbers = count(1)
    trace = read_trace(Path(network.workload.trace)) if network.workload.trace else None
    maker = _Maker(network, seed)
    for start, end in windows(network, hours):
        made = maker.of_law(start, end) if trace is None else maker.of_trace(trace, start, end)
        for request in made:
            request.number = next(numbers)
            request.counted = request.at >= start + network.workload.warm_up_s
            yield request


class _Maker:
    def __init__(self, network: Network, seed: int) -> None:
        self._network = network
        self._load = network.workload
        self._random = source(seed, "workload")
        self._seed = mixed(seed, 0x10AD)
        models = network.models()
        wanted = network.workload.models or dict.fromkeys(models, 1.0)
        self._models = [models.index(model) for model in wanted]
        self._shares = list(accumulate(wanted.values()))
        self._copies = count()
        self._fresh = count(1)

    def rate(self, site: Site, at: float) -> float:
        """Requests a second that a site's clients send at a moment."""
        return site.rate_per_s * self._day(site, at)

    def _day(self, site: Site, at: float) -> float:
        hour = at / 3600 + site.utc_offset_h - self._load.peak_hour
        swing = (1 - self._load.night) / (1 + self._load.night)
        return 1 + swing * math.cos(hour * math.tau / 24)

    def of_law(self, start: float, end: float) -> Iterator[Request]:
        """Conversations that begin by a Poisson law, whose rate follows the hour."""
        draw = self._random
        load = self._load
        due: list[tuple[float, int, int, _Conversation | None]] = []
        busiest = 2 / (1 + load.night)
        order = count()
        starts = [site.rate_per_s / load.turns * busiest for site in self._network.site]
        for place, rate in enumerate(starts):
            if rate:
                heappush(due, (start + draw.expovariate(rate), next(order), place, None))
        while due:
            at, _, place, talk = heappop(due)
            if at >= end:
                return
            if talk is None:
                heappush(due, (at + draw.expovariate(starts[place]), next(order), place, None))
                if draw.random() * busiest >= self._day(self._network.site[place], at):
                    continue
                talk = self._conversation()
            request = talk.turn(at, place)
            if request is None:
                continue
            yield request
            if draw.random() * load.turns >= 1:
                later = at + (draw.expovariate(1 / load.think_s) if load.think_s else 0.0)
                heappush(due, (later, next(order), place, talk))

    def _conversation(self) -> "_Conversation":
        draw = self._random
        model = draw.choices(self._models, cum_weights=self._shares)[0]
        tenant = draw.randrange(self._load.tenants)
        return _Conversation(self._network, draw, self._fresh, (model, tenant))

    def of_trace(self, trace: Trace, start: float, end: float) -> Iterator[Request]:
        """The trace, dealt to the sites."""
        at = start
        while at < end:
            length = min(_PART_S, end - at)
            part: list[Request] = []
            for place, site in enumerate(self._network.site):
                copies = self.rate(site, at) / trace.rate_per_s
                for number in range(math.ceil(copies)):
                    kept = min(copies - number, 1.0)
                    part += self._copy(trace, (at, length), place, kept)
            part.sort(key=lambda request: request.at)
            yield from part
            at += length

    def _copy(
        self, trace: Trace, span: tuple[float, float], place: int, kept: float
    ) -> Iterator[Request]:
        start, length = span
        key = mixed(self._seed, next(self._copies))
        base = (key >> 4) // trace.blocks * trace.blocks
        bound = int(kept * (1 << 32))
        offset = (key & 0xFFFFFF) / (1 << 24) * trace.span_s
        total = self._shares[-1]
        for since, row in trace.part(offset, length):
            bits = mixed(key, row.conversation)
            if bits & 0xFFFFFFFF >= bound:
                continue
            spot = (bits >> 32) / (1 << 32) * total
            model = self._models[next(n for n, most in enumerate(self._shares) if spot < most)]
            blocks = tuple([base + block for block in row.blocks])
            if blocks:
                tenant = (bits >> 40) % self._load.tenants
                blocks = (_SYSTEM + tenant * len(self._models) + model, *blocks[1:])
            yield Request(start + since, place, model, row.prompt_tokens, row.answer_tokens, blocks)


class _Conversation:
    """Turns that each repeat what was said before."""

    def __init__(
        self, network: Network, draw: Random, fresh: "count[int]", of: tuple[int, int]
    ) -> None:
        self._load = network.workload
        self._draw = draw
        self._fresh = fresh
        self._model, tenant = of
        whole = self._load.system_tokens // self._load.block_tokens
        first = _SYSTEM + (tenant * len(network.models()) + self._model) * (1 << 24)
        self._blocks = tuple(range(first, first + whole))
        self._said = self._load.system_tokens

    def turn(self, at: float, place: int) -> Request | None:
        """The next request; None when the conversation has outgrown its context."""
        load = self._load
        prompt = self._said + self._length(load.prompt_tokens, load.prompt_spread)
        answer = self._length(load.answer_tokens, load.answer_spread)
        if prompt + answer > load.context_tokens:
            return None
        lacking = prompt // load.block_tokens - len(self._blocks)
        self._blocks += tuple(next(self._fresh) for _ in range(lacking))
        self._said = prompt + answer
        return Request(at, place, self._model, prompt, answer, self._blocks)

    def _length(self, median: float, spread: float) -> int:
        return max(1, min(round(median * math.exp(self._draw.gauss(0, spread))), 1 << 30))
