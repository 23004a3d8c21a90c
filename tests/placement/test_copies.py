"""Copies of each model on machines of each kind: in proportion, and no worse for an exchange."""

from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.placement.copies import LEAST, Kind, handed_out, improved, unfit
from littoral.placement.crowd import Alike

SLOW, QUICK = Alike(4.0, 8.0, 8, 0.05), Alike(1.0, 4.0, 32, 0.03)


@st.composite
def machines(draw: st.DrawFn) -> tuple[list[Kind], list[float]]:
    models = draw(st.integers(1, 5))
    able = st.frozensets(st.integers(0, models - 1), min_size=1)
    kinds = [
        Kind(
            draw(st.integers(1, 20)),
            tuple(Alike(draw(st.floats(0.01, 50)), 5.0, 4, 0.1) for _ in range(models)),
            draw(able),
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    kinds.append(Kind(LEAST * models, (SLOW,) * models, frozenset(range(models))))
    return kinds, draw(st.lists(st.floats(0.01, 50), min_size=models, max_size=models))


@settings(deadline=None)
@given(machines())
def test_an_exchange_never_makes_it_worse_and_keeps_machines_and_copies(
    told: tuple[list[Kind], list[float]],
) -> None:
    kinds, rates = told
    begun = handed_out(kinds, rates)
    counts = improved(kinds, rates, begun)
    assert unfit(kinds, rates, counts) <= unfit(kinds, rates, begun) + 1e-9
    for kind, row in zip(kinds, counts, strict=True):
        assert sum(row) == kind.count
        assert all(count >= 0 for count in row)
        assert all(model in kind.able for model, count in enumerate(row) if count)
    assert all(sum(column) >= LEAST for column in zip(*counts, strict=True))


def test_who_lacks_a_quick_machine_gets_more_of_the_next() -> None:
    every = frozenset(range(3))
    kinds = [Kind(3, (QUICK,) * 3, every), Kind(30, (SLOW,) * 3, every)]
    quick, slow = improved(kinds, [4.0, 4.0, 2.0], handed_out(kinds, [4.0, 4.0, 2.0]))
    assert quick == (1, 1, 1)
    assert slow[0] + slow[1] > 4 * slow[2]


def test_nothing_can_be_chosen_where_each_has_its_model() -> None:
    kinds = [Kind(2, (QUICK,) * 2, frozenset({0})), Kind(3, (SLOW,) * 2, frozenset({1}))]
    assert improved(kinds, [1.0, 9.0], handed_out(kinds, [1.0, 9.0])) == ((2, 0), (0, 3))
