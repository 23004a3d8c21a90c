"""A row of words: windows of a minute, told without a change as they are told with one."""

from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.values import SECOND, Instant
from littoral.trust.spending import (
    REQUESTS,
    ROW_WORDS,
    TOKENS,
    TOTAL,
    add,
    advance,
    check,
    spent,
    until_at_most,
)

steps = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 5)), max_size=40)


@given(steps, st.integers(0, 200), st.integers(0, 50))
def test_a_window_holds_what_was_spent_in_the_last_sixty_seconds(
    spending: list[tuple[int, int]], wait: int, room: int
) -> None:
    words, second, said = [0] * ROW_WORDS, 0, list[tuple[int, int]]()
    for passed, amount in spending:
        second += passed
        advance(words, TOKENS, second)
        add(words, TOKENS, amount)
        said.append((second, amount))
    second += wait

    def counted(then: int) -> int:
        return sum(amount for at, amount in said if then - at <= 60)

    assert spent(words, TOKENS, second) == counted(second)
    advance(words, TOKENS, second)
    assert words[TOKENS + TOTAL] == counted(second)
    wait_s = until_at_most(words, TOKENS, room, Instant(second * SECOND))
    assert wait_s == next(float(each) for each in range(62) if counted(second + each) <= room)
    check(words, 0)


def test_windows_of_one_row_do_not_touch_each_other() -> None:
    words = [0] * ROW_WORDS
    for second in range(200):
        advance(words, REQUESTS, second)
        add(words, REQUESTS, 1)
    assert spent(words, REQUESTS, 199) == 61
    assert spent(words, TOKENS, 199) == 0
