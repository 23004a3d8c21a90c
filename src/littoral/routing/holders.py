"""Which PoPs keep which beginnings of prompts: the sketches of all of a model's PoPs, turned over.

Kept from change to change, as a sketch mostly stays what it was: an update costs what has changed.
"""

from collections.abc import Iterable, Mapping, Sequence

from littoral.routing.prefix import tokens_at
from littoral.terms.ids import PopId

__all__ = ["Holders"]

_NOTHING: frozenset[int] = frozenset()


class Holders:
    """By beginning, the PoPs that keep it."""

    __slots__ = ("_by_hash", "_kept")

    def __init__(self) -> None:
        self._by_hash: dict[int, set[PopId]] = {}
        self._kept: dict[PopId, frozenset[int]] = {}

    def update(self, kept: Mapping[PopId, frozenset[int]]) -> None:
        """What all PoPs keep now."""
        for pop in self._kept.keys() | kept.keys():
            before, after = self._kept.get(pop, _NOTHING), kept.get(pop, _NOTHING)
            if before is after:
                continue
            for prefix in before - after:
                holders = self._by_hash[prefix]
                holders.discard(pop)
                if not holders:
                    del self._by_hash[prefix]
            for prefix in after - before:
                self._by_hash.setdefault(prefix, set()).add(pop)
        self._kept = dict(kept)

    def of(self, prefixes: Sequence[int], most: int | None = None) -> tuple[dict[PopId, int], int]:
        """The tokens that PoPs keep of a prompt, for those that keep most of it.

        Args:
            prefixes: of the prompt, the shortest first.
            most: places of PoPs to look at; None is all.

        Returns:
            The tokens by PoP, and how many of the prefixes others may keep at most: 0 if these are
            all the PoPs that keep something.
        """
        found: dict[PopId, int] = {}
        looked = 0
        for place in range(len(prefixes) - 1, -1, -1):
            holders = self._by_hash.get(prefixes[place])
            if holders:
                looked += len(holders)
                if most is not None and looked > most:
                    return found, place + 1
                for pop in holders:
                    if pop not in found:
                        found[pop] = tokens_at(place)
        return found, 0

    def each(self, prefixes: Sequence[int], pops: Iterable[PopId]) -> dict[PopId, int]:
        """The tokens of a prompt that these PoPs keep, without those PoPs that keep none."""
        found = {}
        for pop in pops:
            kept = self._kept[pop]
            for place in range(len(prefixes) - 1, -1, -1):
                if prefixes[place] in kept:
                    found[pop] = tokens_at(place)
                    break
        return found
