"""Demand fades, and what a site lacks is fetched once, by one, within the budget."""

from hypothesis import given
from hypothesis import strategies as st

from littoral.delivery.demand import Demand, Offered, wanted
from littoral.terms.ids import ArtifactId, ModelName, PopId
from littoral.terms.limits import DEMAND_HALF_LIFE_S, DEMAND_MODELS_MAX
from littoral.terms.values import SECOND, Instant

SITE = tuple(PopId(f"pop-{number:016x}") for number in range(5))
LARGE = 1 << 60


def offered(name: str, size_bytes: int, *, in_site: bool = False) -> Offered:
    return Offered(ModelName(name), ArtifactId(f"blake3:{name}"), size_bytes, in_site)


def at(seconds: float) -> Instant:
    return Instant(int(seconds * SECOND))


def test_a_steady_rate_is_told_as_it_is() -> None:
    demand = Demand()
    for minute in range(600):
        demand.asked(ModelName("a"), at(minute * 60))
    rate = demand.per_hour(at(600 * 60))[ModelName("a")]
    assert 50 < rate < 65


def test_demand_halves_in_its_half_life() -> None:
    demand = Demand()
    demand.asked(ModelName("a"), at(0))
    before = demand.per_hour(at(0))[ModelName("a")]
    after = demand.per_hour(at(DEMAND_HALF_LIFE_S))[ModelName("a")]
    assert abs(after / before - 0.5) < 1e-6


def test_what_is_counted_has_a_bound_and_the_most_wanted_stay() -> None:
    demand = Demand()
    for _ in range(3):
        demand.asked(ModelName("often"), at(0))
    for number in range(2 * DEMAND_MODELS_MAX):
        demand.asked(ModelName(f"once-{number}"), at(1))
    rates = demand.per_hour(at(2))
    assert len(rates) == DEMAND_MODELS_MAX
    assert next(iter(rates)) == "often"


def test_one_pop_of_a_site_fetches_what_it_lacks() -> None:
    offers = [offered("a", 100_000_000)]
    rates = {ModelName("a"): 60.0}
    fetching = [pop for pop in SITE if wanted(pop, SITE, rates, offers, LARGE)]
    assert len(fetching) == 1


def test_what_the_site_has_and_what_is_hardly_asked_for_is_left() -> None:
    rates = {ModelName("a"): 60.0, ModelName("b"): 1.0, ModelName("c"): 60.0}
    offers = [
        offered("a", 1_000, in_site=True),
        offered("b", 1_000),
        offered("c", 400_000_000_000),
        offered("d", 1_000),
    ]
    assert not any(wanted(pop, SITE, rates, offers, LARGE) for pop in SITE)


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.floats(4, 1e4)), max_size=8),
    st.integers(0, 3 * 10**9),
)
def test_the_budget_is_kept_and_the_most_useful_goes_first(
    models: list[tuple[int, float]], budget: int
) -> None:
    offers = [offered(f"m{number}", size) for number, (size, _) in enumerate(models)]
    rates = {ModelName(f"m{number}"): rate for number, (_, rate) in enumerate(models)}
    for pop in SITE:
        taken = wanted(pop, SITE, rates, offers, budget)
        assert sum(each.size_bytes for each in taken) <= budget
        useful = [rates[each.model] / each.size_bytes for each in taken]
        assert useful == sorted(useful, reverse=True)
