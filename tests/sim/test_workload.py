"""What simulated clients ask: rates, conversations, and traces dealt to sites."""

import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from littoral.sim.network import Network
from littoral.sim.trace import BLOCK_TOKENS, read_trace
from littoral.sim.workload import requests
from littoral.terms.errors import ConfigError
from tests.sim.made import network


def as_tuples(described: Network, seed: int, hours: float) -> list[tuple[object, ...]]:
    return [
        (r.number, r.at, r.site, r.model, r.prompt_tokens, r.answer_tokens, r.blocks, r.counted)
        for r in requests(described, seed, hours)
    ]


def test_the_same_seed_asks_the_same_and_another_seed_something_else() -> None:
    assert as_tuples(network(), 1, 1.0) == as_tuples(network(), 1, 1.0)
    assert as_tuples(network(), 1, 1.0) != as_tuples(network(), 2, 1.0)


def test_requests_come_in_order_and_as_often_as_was_said() -> None:
    asked = list(requests(network(night=0.2), 1, 48.0))
    assert [r.number for r in asked] == list(range(1, len(asked) + 1))
    assert all(one.at <= other.at for one, other in pairwise(asked))
    count = Counter(r.site for r in asked)
    assert count[0] / (48 * 3600) == pytest.approx(0.3, rel=0.05)
    assert count[1] / (48 * 3600) == pytest.approx(0.1, rel=0.05)


def test_the_day_has_its_busiest_hour_where_it_was_put() -> None:
    described = network(night=0.1, peak_hour=15, turns=1)
    east = msgspec.structs.replace(described.site[0], utc_offset_h=5)
    described = msgspec.structs.replace(described, site=(east, described.site[1]))
    hours = Counter(int(r.at // 3600) % 24 for r in requests(described, 1, 240.0) if r.site == 0)
    around = {hour: sum(hours[(hour + n) % 24] for n in range(-2, 2)) for hour in range(24)}
    assert max(around, key=lambda hour: around[hour]) in {9, 10, 11}
    assert around[10] > 5 * around[22]


def test_a_conversation_repeats_what_was_said_and_shares_nothing_with_other_tenants() -> None:
    asked = [r for r in requests(network(), 1, 1.0) if len(r.blocks) > 4]
    first = {r.blocks[:4] for r in asked}
    assert len(first) == 3  # one for each tenant: 256 tokens of a system prompt, in blocks of 64
    assert len({block for blocks in first for block in blocks}) == 12
    owner: dict[int, tuple[int, tuple[int, ...]]] = {}
    for request in asked:
        assert len(request.blocks) == request.prompt_tokens // 64
        for block in request.blocks[4:]:
            mine = (request.site, request.blocks[:4])
            assert owner.setdefault(block, mine) == mine
    assert len(owner) < sum(len(request.blocks) - 4 for request in asked)


def trace_file(folder: Path) -> Path:
    """Two hundred conversations of three turns, one after the other."""
    lines = []
    for number in range(200):
        for turn in range(3):
            blocks = [0, *range(1 + number * 10, 2 + number * 10 + turn)]
            lines.append(
                {
                    "timestamp": 1000 * (number * 10 + turn),
                    "input_length": len(blocks) * BLOCK_TOKENS - 1 + (turn == 2),
                    "output_length": 10 + turn,
                    "hash_ids": blocks,
                }
            )
    path = folder / "trace.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_trace_keeps_whole_blocks_only(tmp_path: Path) -> None:
    trace = read_trace(trace_file(tmp_path))
    assert [row.blocks for row in trace.rows[:3]] == [(0,), (0, 1), (0, 1, 2, 3)]
    assert {row.conversation for row in trace.rows[:3]} == {1}


def test_a_trace_goes_round(tmp_path: Path) -> None:
    trace = read_trace(trace_file(tmp_path))
    whole = [since for since, _ in trace.part(1990.0, 2 * trace.span_s)]
    assert len(whole) == 2 * len(trace.rows)
    assert whole == sorted(whole)


def test_a_trace_is_dealt_by_conversations_at_the_rate_of_each_site(tmp_path: Path) -> None:
    described = network(trace=str(trace_file(tmp_path)), tenants=5)
    asked = list(requests(described, 1, 20.0))
    count = Counter(r.site for r in asked)
    assert count[0] / (20 * 3600) == pytest.approx(0.3, rel=0.1)
    assert count[1] / (20 * 3600) == pytest.approx(0.1, rel=0.15)
    turns: dict[int, list[int]] = defaultdict(list)
    for request in asked:
        if len(request.blocks) > 1:
            turns[request.blocks[1]].append(request.answer_tokens)
    whole = sum(found == [11, 12] for found in turns.values())
    assert whole > 0.95 * len(turns)  # some are cut at the ends of parts
    assert len({request.blocks[0] for request in asked}) == 5


def test_windows_leave_the_time_between_out_and_warm_up_is_not_counted() -> None:
    described = network(window_minutes=10, window_every_h=2, warm_up_s=60)
    asked = list(requests(described, 1, 6.0))
    assert {int(r.at // 3600) for r in asked} == {0, 2, 4}
    assert all(r.at % 7200 < 600 for r in asked)
    assert all(r.counted == (r.at % 7200 >= 60) for r in asked)


def test_azures_form_is_read(tmp_path: Path) -> None:
    path = tmp_path / "azure.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
    )
    first, second = read_trace(path).rows
    assert (first.at_s, first.prompt_tokens, second.answer_tokens) == (0.0, 374, 109)
    assert second.at_s == pytest.approx(4.314579, abs=1e-3)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no"])
def test_what_is_not_a_trace_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match="trace"):
        read_trace(path)
