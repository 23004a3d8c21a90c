"""What models cost: as it is written, as it is weighed, as it is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.routing.explain import explain, reason
from littoral.routing.fleet import Fleet
from littoral.routing.predict import Wanted, choose, chosen
from littoral.routing.prices import PRICE_MAX, UNIT, Price, prices_of
from littoral.routing.sends import Sends
from littoral.routing.table import Table
from littoral.terms.errors import ConfigError
from littoral.terms.ids import ModelName
from tests.routing.pops import MODEL, NEEDS, NOW, member, model, name, pop, table

ASK = Wanted(NEEDS, 1_000, answer_tokens=100)


def test_a_model_costs_what_is_said_of_it_and_else_what_is_said_of_the_rest() -> None:
    prices = prices_of(["qwen3-0.6b=0.05/0.2", "*=0/1"])
    assert prices.of(ModelName("qwen3-0.6b")) == Price(50_000, 200_000)
    assert prices.of(ModelName("another")) == Price(0, UNIT)
    assert prices_of([]).of(ModelName("another")) == Price()


@pytest.mark.parametrize(
    "row",
    [
        "qwen3-0.6b",
        "=1/1",
        "m=1",
        "m=1/",
        "m=-1/1",
        "m=1e3/1",
        "m=0.0000001/1",
        "m=nan/1",
        "m=1/1/1",
        "m=1000001/0",
        "M=1/1",
        "m=\u0661/1",
        "m=1/1\n",
    ],
)
def test_what_is_no_price_is_refused_with_advice(row: str) -> None:
    with pytest.raises(ConfigError) as refused:
        prices_of([row])
    assert "MODEL=PROMPT/ANSWER" in refused.value.advice


def test_a_model_has_one_price() -> None:
    with pytest.raises(ConfigError, match="m twice"):
        prices_of(["m=1/1", "m=1/2"])


@given(st.integers(0, PRICE_MAX), st.integers(0, PRICE_MAX))
def test_nothing_is_rounded(prompt: int, answer: int) -> None:
    row = f"m={prompt // UNIT}.{prompt % UNIT:06}/{answer // UNIT}.{answer % UNIT:06}"
    assert prices_of([row]).of(ModelName("m")) == Price(prompt, answer)


@pytest.mark.parametrize(
    ("unit_worth_s", "first"), [(1_000.0, "far and free"), (10.0, "near"), (0.0, "near")]
)
def test_what_a_unit_is_worth_decides_between_soon_and_cheap(
    unit_worth_s: float, first: str
) -> None:
    """A request of 1,000 and 100 tokens costs 0.002 units at the near one."""
    names = {"near": name(1), "far and free": name(2)}
    dear = pop(1, model(price_in=1_000_000, price_out=10_000_000))
    seen = Table(MODEL, member(0), unit_worth_s)
    seen.update(Fleet({name(1): dear, name(2): pop(2)}), {name(1): 0.01, name(2): 0.5})
    assert choose(seen, ASK, Sends(), NOW, spin=0)[0] == names[first]


def test_what_it_is_expected_to_cost_is_told() -> None:
    seen = table(pop(1, model(price_in=1_000_000, price_out=10_000_000)))
    (line,) = explain(seen, ASK, Sends(), NOW)
    assert "for 0.002 units" in line
    (weighed,) = chosen(seen, ASK, Sends(), NOW, spin=0)
    assert reason(weighed, seen, ASK, Sends(), NOW).endswith(", for 0.002 units, of 1 PoPs")
