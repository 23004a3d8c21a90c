"""What a PoP learns of its models from what happens, and who finds his prompts again."""

from typing import Any

import pytest

from littoral.adapters.upstreams.words import Errand
from littoral.node.fabric.learning import Learning
from littoral.node.onward import Onward, key_behind
from littoral.routing.prefix import decoded, prefixes_of, prompt_of
from littoral.terms.facts import ModelLoading, ModelReady, RequestEnded
from littoral.terms.ids import KeyId, ModelName, ReceiptId
from littoral.terms.values import Caller, EngineCall, Finish, Hop, Kind, Source, Usage
from tests.routing.pops import MODEL, Clock, name

LONG = {"messages": [{"role": "user", "content": "What is it? " * 200}]}
CALLER = Caller(KeyId("kaaaaaaaaaaaa"), "shop")


class Key:
    def __init__(self, number: int) -> None:
        self.public_key = bytes([number]) * 32

    def sign(self, message: bytes) -> bytes:
        return (self.public_key + message[:1]) * 2


def learning(at_work: int = 0) -> Learning:
    return Learning(Clock(), kv_tokens=8_192, at_work=lambda _: at_work)


def ended(**said: Any) -> RequestEnded:
    usual: dict[str, Any] = {
        "receipt_id": ReceiptId("r"),
        "api": "chat.completions",
        "kind": Kind.CHAT,
        "model": MODEL,
        "key_id": CALLER.key_id,
        "source": Source.COMPUTED,
        "finish": Finish.STOP,
        "usage": Usage(1_000, 101, 200),
        "queue_s": 0.5,
        "first_token_s": 0.9,
        "total_s": 2.9,
    }
    return RequestEnded(**{**usual, **said})


def test_rates_are_of_the_engine_without_the_queue_and_what_it_had_kept() -> None:
    learned = learning()
    learned.observe(ended())
    measured = learned.measured(MODEL)
    assert measured.prefill_tps == pytest.approx(800 / 0.4)
    assert measured.decode_tps == pytest.approx(100 / 2)
    assert measured.answer_tokens == pytest.approx(101)
    assert learned.prompt_tokens(MODEL) == 800


@pytest.mark.parametrize(
    "other",
    [
        {"source": Source.CACHE},
        {"source": Source.NEIGHBOUR},
        {"finish": Finish.CLIENT_GONE},
        {"finish": Finish.FAILED},
        {"first_token_s": None},
        {"kind": Kind.EMBED},
    ],
)
def test_what_was_not_computed_here_and_whole_says_nothing_of_rates(other: dict[str, Any]) -> None:
    learned = learning()
    learned.observe(ended(**other))
    assert learned.measured(MODEL).prefill_tps == 0


def test_the_time_that_a_load_took_is_remembered() -> None:
    learned = learning()
    learned.observe(ModelReady(MODEL, 3.5, "x 1"))
    assert learned.measured(MODEL).load_s == 3.5


def call(onward: Onward, caller: Caller) -> EngineCall:
    passage = onward.passage(caller, "")
    return EngineCall(Kind.CHAT, LONG, True, MODEL, tenant=caller.key_id, passage=passage)


def kept(learned: Learning, scope: str, body: dict[str, Any] | None = None) -> bool:
    """Whether the beginning of this prompt is told to be kept for that scope."""
    wanted = prefixes_of(scope, MODEL, prompt_of(body or LONG))
    return bool(decoded(learned.sketch(MODEL)) & set(wanted))


def test_a_gateway_finds_its_own_callers_prompts_and_no_others() -> None:
    gateway, other = Onward(name(1), Key(1)), Onward(name(2), Key(2))
    learned = learning()
    passage = gateway.passage(CALLER, "")
    behind = Caller(
        key_behind(name(1), passage.scope), "pop", hop=Hop(passage.via, None), tenant="x"
    )
    learned.read(call(Onward(name(3), Key(3)), behind))
    assert kept(learned, key_behind(name(1), passage.scope))
    strange = other.passage(CALLER, "")
    assert not kept(learned, key_behind(name(2), strange.scope))
    someone = gateway.passage(Caller(KeyId("kbbbbbbbbbbbb"), "else"), "")
    assert not kept(learned, key_behind(name(1), someone.scope))


def test_a_pop_finds_the_prompts_of_its_own_callers_in_its_own_engine() -> None:
    here = Onward(name(3), Key(3))
    learned = learning()
    learned.read(call(here, CALLER))
    passage = here.passage(CALLER, "")
    assert kept(learned, key_behind(name(3), passage.scope))
    assert not kept(learned, CALLER.key_id)


def test_an_engine_that_starts_anew_keeps_nothing() -> None:
    here = Onward(name(3), Key(3))
    learned = learning()
    learned.read(call(here, CALLER))
    learned.observe(ModelLoading(MODEL, "asked"))
    assert learned.sketch(MODEL) == b""


def test_a_call_that_may_go_nowhere_teaches_nothing() -> None:
    learned = learning()
    learned.read(EngineCall(Kind.CHAT, LONG, True, ModelName("m")))
    assert learned.sketch(ModelName("m")) == b""
    assert Errand("chat.completions", b"{}", "m", False).passage is None
