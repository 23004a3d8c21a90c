"""One simulated PoP: a queue, an engine that batches, and its prefix cache.

What is assumed
- One queue, first come first served; a request that finds it full is refused.
- A request has a slot from when its prompt is begun to be read until its answer's end.
- Prompts are read one at a time, at `prefill_tps`, without the blocks that the cache has: at least
  one token is read. Reading does not slow the answers that are under way (chunked prefill).
- The first token is there when the prompt has been read. The others come at `decode_tps /
  (1 + slowdown x others)`, the same for all that are under way, at every moment.
- The prefix cache keeps the blocks that were used last, and has room of its own beside the answers
  under way. Of one prompt the end goes first. A block is there once its prompt has been read.
- A model that is not loaded is loaded when somebody asks; meanwhile all wait.

Times are seconds on the virtual clock. It is a machine in the sense of ARCHITECTURE.md: `take` and
`step` are its events, and what began and ended is what it says.
"""

import math
from collections import OrderedDict, deque
from heapq import heappop, heappush
from typing import Final

from littoral.sim import network
from littoral.sim.workload import Request

__all__ = ["Engine", "Job"]

_CLOSE: Final = 1e-7
"""Tokens: what rounding may leave of an answer that is over."""


class Job:
    """A request on a machine."""

    __slots__ = ("began_at", "cached_tokens", "due", "machine", "request", "tried")

    def __init__(self, request: Request, machine: int) -> None:
        self.request = request
        self.machine = machine
        self.tried: tuple[int, ...] = ()
        """Machines that were full."""
        self.due = 0
        """Tokens that it adds to the queue, by what the cache had when it came."""
        self.cached_tokens = 0
        self.began_at = 0.0

    def __lt__(self, other: "Job") -> bool:
        """Of answers that end at the same moment, the one asked for first."""
        return self.request.number < other.request.number


class Engine:
    """See the module docstring."""

    __slots__ = (
        "_blocks",
        "_blocks_max",
        "_done",
        "_idle_at",
        "_loaded_at",
        "_read_at",
        "_reading",
        "_streams",
        "_updated_at",
        "_waiting",
        "block_tokens",
        "queued_tokens",
        "read_tokens",
        "slot_s",
        "spec",
        "warm",
    )

    def __init__(self, spec: network.Machine, block_tokens: int) -> None:
        self.spec = spec
        self.block_tokens = block_tokens
        self.warm = not spec.keep_s
        """Loaded, or being loaded."""
        self.slot_s = 0.0
        """Seconds of slots in use, of all slots together."""
        self.read_tokens = 0
        """Of all prompts, without what the cache had."""
        self.queued_tokens = 0
        """Of prompts that wait."""
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self._blocks_max = spec.kv_tokens // block_tokens
        self._waiting: deque[Job] = deque()
        self._reading: Job | None = None
        self._read_at = math.inf
        self._streams: list[tuple[float, Job]] = []
        """By the tokens that each stream will have made when it ends."""
        self._done = 0.0
        """Tokens that one stream would have made, had it been here all the time."""
        self._updated_at = 0.0
        self._idle_at = 0.0
        self._loaded_at = 0.0

    @property
    def in_flight(self) -> int:
        """Requests that have a slot."""
        return len(self._streams) + (self._reading is not None)

    @property
    def waiting(self) -> int:
        """Requests that have none yet."""
        return len(self._waiting)

    @property
    def rate(self) -> float:
        """Tokens a second of each answer under way now."""
        others = max(len(self._streams) - 1, 0)
        return self.spec.decode_tps / (1 + self.spec.decode_slowdown * others)

    def loading(self, now: float) -> bool:
        """Its model is being loaded."""
        return now < self._loaded_at

    def unread(self, now: float) -> int:
        """Prompt tokens to be read before one that comes now."""
        under_way = 0.0
        if self._reading is not None:
            under_way = max(self._read_at - max(now, self._loaded_at), 0.0) * self.spec.prefill_tps
        return self.queued_tokens + int(under_way)

    def covered(self, request: Request) -> int:
        """Tokens at the prompt's beginning that the cache has, all but the last one at most."""
        count = 0
        blocks = self._blocks
        for block in request.blocks:
            if block not in blocks:
                break
            count += 1
        return min(count * self.block_tokens, request.prompt_tokens - 1)

    def take(self, job: Job, now: float) -> bool:
        """A request came; False if it was refused."""
        held_up = self._reading is not None or self.in_flight >= self.spec.slots
        if held_up and len(self._waiting) >= self.spec.queue:
            return False
        self._advance(now)
        job.due = job.request.prompt_tokens - self.covered(job.request)
        self.queued_tokens += job.due
        self._waiting.append(job)
        self._start(now)
        return True

    def deadline(self) -> float:
        """When `step` is due."""
        due = self._read_at
        if self._streams:
            left = max(self._streams[0][0] - self._done, 0.0)
            due = min(due, self._updated_at + left / self.rate)
        elif self._reading is None and self.warm and self.spec.keep_s:
            due = self._idle_at + self.spec.keep_s
        return due

    def step(self, now: float) -> tuple[list[Job], list[Job]]:
        """What began and what ended by now, which must not be after the deadline."""
        self._advance(now)
        began: list[Job] = []
        ended: list[Job] = []
        streams = self._streams
        while streams and streams[0][0] <= self._done + _CLOSE:
            ended.append(heappop(streams)[1])
        if not streams:
            self._done = 0.0  # so that rounding does not grow with the time of day
        job = self._reading
        if job is not None and self._read_at <= now:
            self._reading, self._read_at = None, math.inf
            job.began_at = now
            self.read_tokens += job.request.prompt_tokens - job.cached_tokens
            self._keep(job.request.blocks)
            began.append(job)
            if job.request.answer_tokens > 1:
                heappush(streams, (self._done + job.request.answer_tokens - 1, job))
            else:
                ended.append(job)
        if ended:
            self._idle_at = now
        if self.spec.keep_s and not self.in_flight and now >= self._idle_at + self.spec.keep_s:
            self.warm = False
            self._blocks.clear()
        self._start(now)
        return began, ended

    def check(self) -> None:
        """Assert what always holds."""
        assert self.in_flight <= self.spec.slots
        assert len(self._waiting) <= self.spec.queue
        assert len(self._blocks) <= self._blocks_max
        assert self.queued_tokens == sum(job.due for job in self._waiting)
        assert not self._waiting or self._reading is not None or self.in_flight == self.spec.slots

    def _advance(self, now: float) -> None:
        passed = now - self._updated_at
        assert passed >= 0
        if self._streams:
            self._done += passed * self.rate
        self.slot_s += passed * self.in_flight
        self._updated_at = now

    def _start(self, now: float) -> None:
        if self._reading is not None or not self._waiting or self.in_flight >= self.spec.slots:
            return
        job = self._waiting.popleft()
        self.queued_tokens -= job.due
        job.cached_tokens = self.covered(job.request)
        self._reading = job
        takes = (job.request.prompt_tokens - job.cached_tokens) / self.spec.prefill_tps
        if not self.warm:
            takes += self.spec.load_s
            self.warm = True
            self._loaded_at = now + self.spec.load_s
        self._read_at = now + takes

    def _keep(self, blocks: tuple[int, ...]) -> None:
        kept = self._blocks
        for block in reversed(blocks):
            kept[block] = None
            kept.move_to_end(block)
        while len(kept) > self._blocks_max:
            kept.popitem(last=False)
