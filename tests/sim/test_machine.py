"""The model of one machine against cases worked out by hand, and what is known of queues."""

import pytest

from littoral.sim.chance import source
from tests.sim.made import drive, engine, job


def test_a_request_alone_takes_its_prompt_and_its_answer() -> None:
    assert drive(engine(), [(0.0, job(1))]) == {1: (1.0, 2.0)}


def test_an_answer_of_one_token_ends_when_it_begins() -> None:
    assert drive(engine(), [(0.0, job(1, answer=1))]) == {1: (1.0, 1.0)}


def test_prompts_are_read_one_after_the_other() -> None:
    times = drive(engine(), [(0.0, job(1)), (0.0, job(2))])
    assert times == {1: (1.0, 2.0), 2: (2.0, 3.0)}


def test_without_a_free_slot_the_next_prompt_waits_for_an_answer_to_end() -> None:
    times = drive(engine(slots=1), [(0.0, job(1)), (0.0, job(2))])
    assert times == {1: (1.0, 2.0), 2: (3.0, 4.0)}


def test_answers_slow_each_other_while_they_are_under_way_together() -> None:
    # The first makes one of its ten further tokens alone, until 1.1 s; then both make five a
    # second, until the first has ended; the other makes its last one alone.
    times = drive(engine(decode_slowdown=1.0), [(0.0, job(1)), (0.0, job(2, prompt=100))])
    assert times[1] == pytest.approx((1.0, 1.1 + 9 / 5))
    assert times[2] == pytest.approx((1.1, 2.9 + 1 / 10))


def test_what_the_cache_has_is_not_read_again() -> None:
    blocks = tuple(range(15))
    again = job(2, blocks=blocks)
    times = drive(engine(), [(0.0, job(1, blocks=blocks)), (5.0, again)])
    assert again.cached_tokens == 15 * 64
    assert times[2][0] == pytest.approx(5.0 + (1000 - 960) / 1000)


def test_at_least_one_token_is_read() -> None:
    again = job(2, prompt=128, blocks=(1, 2))
    drive(engine(), [(0.0, job(1, prompt=128, blocks=(1, 2))), (5.0, again)])
    assert again.cached_tokens == 127


def test_only_an_unbroken_beginning_counts() -> None:
    again = job(2, blocks=(1, 9, 3))
    drive(engine(), [(0.0, job(1, blocks=(1, 2, 3))), (5.0, again)])
    assert again.cached_tokens == 64


def test_the_cache_drops_what_was_used_longest_ago_and_of_a_prompt_its_end_first() -> None:
    again = job(3, blocks=(1, 2, 3))
    asked = [(0.0, job(1, blocks=(1, 2, 3))), (5.0, job(2, blocks=(7, 8))), (9.0, again)]
    drive(engine(kv_tokens=64 * 4), asked)
    assert again.cached_tokens == 2 * 64


def test_a_block_is_there_once_its_prompt_was_read() -> None:
    together = job(2, blocks=(1, 2))
    drive(engine(), [(0.0, job(1, blocks=(1, 2))), (0.5, together)])
    assert together.due == 1000
    assert together.cached_tokens == 128


def test_a_full_queue_refuses() -> None:
    machine = engine(slots=1, queue=1)
    assert [machine.take(job(number), 0.0) for number in (1, 2, 3)] == [True, True, False]


def test_a_machine_without_a_queue_takes_a_request_while_it_is_idle() -> None:
    machine = engine(slots=1, queue=0)
    assert [machine.take(job(number), 0.0) for number in (1, 2)] == [True, False]


def test_a_model_that_went_is_loaded_again_and_has_kept_nothing() -> None:
    machine = engine(load_s=3.0, keep_s=10.0)
    asked = [(at, job(number, blocks=(1,))) for number, at in ((1, 0.0), (2, 6.0), (3, 30.0))]
    times = drive(machine, asked)
    assert times[1] == (4.0, 5.0)
    assert times[2][0] == pytest.approx(6.0 + 0.936)
    assert times[3] == (34.0, 35.0)
    assert not machine.warm


def test_unread_tokens_are_those_that_wait_and_the_rest_of_the_prompt_under_way() -> None:
    machine = engine()
    machine.take(job(1), 0.0)
    machine.take(job(2, prompt=500), 0.0)
    assert machine.unread(0.25) == 750 + 500


def test_while_a_model_is_loaded_no_prompt_is_read() -> None:
    machine = engine(load_s=3.0, keep_s=10.0)
    machine.take(job(1), 1.0)
    assert (machine.loading(3.9), machine.loading(4.0)) == (True, False)
    assert (machine.unread(2.0), machine.unread(4.5)) == (1000, 500)


def test_slots_at_work_are_counted_for_as_long_as_they_are() -> None:
    machine = engine()
    drive(machine, [(0.0, job(1)), (0.0, job(2))])
    # The first from 0 to 2 s; the second from 1 s, when it is begun to be read, to 3 s.
    assert machine.slot_s == pytest.approx(2.0 + 2.0)


def test_a_single_server_with_chance_arrivals_waits_as_long_as_theory_says() -> None:
    # Reading alone, lengths exponential: M/M/1 at 60 % load, mean time 1 / (1 - 0.6).
    draw = source(1, "test")
    at, jobs = 0.0, []
    for number in range(60_000):
        at += draw.expovariate(0.6)
        jobs.append((at, job(number, prompt=max(1, round(draw.expovariate(1e-6))), answer=1)))
    machine = engine(prefill_tps=1e6, slots=1, queue=10_000)
    times = drive(machine, jobs)
    assert len(times) == len(jobs)
    mean = sum(times[number][0] - at for number, (at, _) in enumerate(jobs)) / len(jobs)
    assert mean == pytest.approx(1 / (1 - 0.6), rel=0.06)
    assert machine.slot_s / jobs[-1][0] == pytest.approx(0.6, rel=0.02)


def test_answers_that_share_the_engine_take_as_long_as_theory_says() -> None:
    # Each of n answers at 1/n of the rate, load 50 %: processor sharing, mean time x / (1 - 0.5).
    draw = source(2, "test")
    at, jobs = 0.0, []
    for number in range(20_000):
        at += draw.expovariate(0.5)
        jobs.append((at, job(number, prompt=1, answer=101)))
    machine = engine(prefill_tps=1e9, decode_tps=100, decode_slowdown=1.0, slots=1000)
    times = drive(machine, jobs)
    mean = sum(end - begin for begin, end in times.values()) / len(jobs)
    assert mean == pytest.approx(2.0, rel=0.06)
