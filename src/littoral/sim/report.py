"""What came of a simulated run, for the whole network and for each site.

A request counts for the site whose client sent it; a machine's load for the site where it stands.
Times are seen from the client: from sending the request to the first token, and to the last.
"""

from array import array
from collections.abc import Sequence

import msgspec

from littoral.sim.workload import Request

__all__ = ["Report", "SiteReport", "Tally", "quantile"]


class SiteReport(msgspec.Struct, frozen=True):
    """Requests of one site's clients, or of all. Times are seconds, parts are from 0 to 1."""

    site: str
    requests: int
    refused: int
    """All machines that were tried were full."""
    late: int
    """Answered, with the first token later than `late_s`."""
    first_token_p50_s: float | None
    """None where nothing was answered."""
    first_token_p90_s: float | None
    first_token_p99_s: float | None
    whole_p50_s: float | None
    whole_p99_s: float | None
    prompt_kept: float
    """Part of all prompt tokens that were found in a prefix cache."""
    elsewhere: float
    """Part of the answers that came from another site."""
    bytes_between_sites: int
    load: float
    """Part of the slots of its machines that was at work, mean over the time simulated."""
    reading: float
    """Tokens that its machines have read, as a part of what they could have read in that time: a
    quick machine that does the same in less time has less of its slots at work, and not of this."""


class Report(msgspec.Struct, frozen=True):
    """One policy on one network."""

    policy: str
    seed: int
    simulated_hours: float
    total: SiteReport
    load_max_over_mean: float
    """The load of the site with the most, of the mean over sites with machines."""
    reading_max_over_mean: float
    """The same of `reading`."""
    sites: tuple[SiteReport, ...]


class Tally:
    """Counts of one site's requests."""

    __slots__ = (
        "answered",
        "between",
        "elsewhere",
        "first_s",
        "kept_tokens",
        "late",
        "prompt_tokens",
        "refused",
        "whole_s",
    )

    def __init__(self) -> None:
        self.first_s = array("d")
        self.whole_s = array("d")
        self.answered = self.refused = self.late = self.elsewhere = 0
        self.prompt_tokens = self.kept_tokens = 0
        self.between = 0.0

    def answer(self, request: Request, first_s: float, whole_s: float, kept_tokens: int) -> None:
        """A request was answered."""
        self.answered += 1
        self.first_s.append(first_s)
        self.whole_s.append(whole_s)
        self.prompt_tokens += request.prompt_tokens
        self.kept_tokens += kept_tokens

    def add(self, other: "Tally") -> None:
        """Count another's as well."""
        self.first_s.extend(other.first_s)
        self.whole_s.extend(other.whole_s)
        for name in self.__slots__:
            if name not in {"first_s", "whole_s"}:
                setattr(self, name, getattr(self, name) + getattr(other, name))

    def report(self, site: str, load: float, reading: float) -> SiteReport:
        """As numbers for people."""
        first, whole = sorted(self.first_s), sorted(self.whole_s)
        return SiteReport(
            site=site,
            requests=self.answered + self.refused,
            refused=self.refused,
            late=self.late,
            first_token_p50_s=quantile(first, 0.5),
            first_token_p90_s=quantile(first, 0.9),
            first_token_p99_s=quantile(first, 0.99),
            whole_p50_s=quantile(whole, 0.5),
            whole_p99_s=quantile(whole, 0.99),
            prompt_kept=_part(self.kept_tokens, self.prompt_tokens),
            elsewhere=_part(self.elsewhere, self.answered),
            bytes_between_sites=round(self.between),
            load=load,
            reading=reading,
        )


def quantile(ordered: Sequence[float], part: float) -> float | None:
    """The value that so much of a sorted sequence is not above; None of nothing."""
    if not ordered:
        return None
    return round(ordered[min(int(part * len(ordered)), len(ordered) - 1)], 6)


def _part(some: float, whole: float) -> float:
    return round(some / whole, 6) if whole else 0.0
