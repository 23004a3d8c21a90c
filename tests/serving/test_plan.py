"""Plans: defaults filled in, sizes bounded, nothing that the client said changed."""

import json
from dataclasses import replace

import pytest

from littoral.serving.plan import Plan, counted_plan, plan_of
from littoral.terms.errors import BadRequestError, ContextLengthError, UnsupportedError
from littoral.terms.ids import ModelName
from littoral.terms.values import Ask, EngineKind, Kind, ModelDefaults, ModelEntry, UpstreamTarget

ENTRY = ModelEntry(
    ModelName("m"),
    EngineKind.LLAMA,
    (Kind.CHAT, Kind.COMPLETE),
    context_tokens=8192,
    defaults=ModelDefaults(
        system="You are a helpful assistant.", temperature=0.2, top_p=0.9, max_tokens=512
    ),
)


def ask(kind: Kind = Kind.CHAT, **body: object) -> Ask:
    given = {"model": "m", **body}
    return Ask("t", kind, ModelName("m"), given, stream=True, raw=json.dumps(given).encode())


USER = {"role": "user", "content": "hi"}


def test_what_the_client_left_open_comes_from_the_models_entry() -> None:
    body = plan_of(ask(messages=[USER]), ENTRY, seed=7).call.body
    assert body["temperature"] == 0.2
    assert body["top_p"] == 0.9
    assert body["max_tokens"] == 512
    assert body["seed"] == 7
    assert body["messages"] == [
        {"role": "system", "content": "You are a helpful assistant."},
        USER,
    ]


def test_what_the_client_said_stays() -> None:
    own = {"role": "system", "content": "Be brief."}
    given = {"temperature": 0, "seed": 1, "max_tokens": 5, "messages": [own, USER], "user": "u"}
    assert plan_of(ask(Kind.CHAT, **given), ENTRY, seed=7).call.body.items() >= given.items()


def test_the_newer_name_of_max_tokens_means_the_same() -> None:
    body = plan_of(ask(messages=[USER], max_completion_tokens=9), ENTRY, seed=7).call.body
    assert body["max_tokens"] == 9
    assert "max_completion_tokens" not in body


def test_an_upstream_gets_nothing_added_that_the_entry_does_not_say() -> None:
    entry = replace(ENTRY, engine=EngineKind.UPSTREAM, defaults=ModelDefaults())
    assert plan_of(ask(messages=[USER]), entry, seed=7).call.body == {
        "model": "m",
        "messages": [USER],
    }


def test_the_bound_is_never_less_than_the_prompt_in_bytes() -> None:
    text = "ü" * 1000
    plan = plan_of(ask(messages=[{"role": "user", "content": text}]), ENTRY, seed=1)
    assert plan.prompt_tokens >= len(text.encode()) + len("You are a helpful assistant.")


def test_every_choice_and_every_prompt_counts() -> None:
    plan = plan_of(ask(Kind.COMPLETE, prompt=["a", "b"], n=3, max_tokens=10), ENTRY, seed=1)
    assert plan.choices == 6
    assert plan.completion_tokens == 60


def counted(plan: Plan, prompt_tokens: int, cache_tokens: int = 16_384) -> Plan:
    return counted_plan(
        plan, prompt_tokens=prompt_tokens, context_tokens=8192, cache_tokens=cache_tokens
    )


def test_a_counted_prompt_leaves_only_its_room_to_the_completion() -> None:
    plan = plan_of(ask(messages=[USER], max_tokens=8000), ENTRY, seed=1)
    bounded = counted(plan, 1000)
    assert bounded.call.body["max_tokens"] == 7192
    assert bounded.tokens_bound == 8192


def test_several_choices_share_the_cache_between_them() -> None:
    plan = plan_of(ask(messages=[USER], max_tokens=300, n=8), ENTRY, seed=1)
    bounded = counted(plan, 28, cache_tokens=1024)
    assert bounded.call.body["max_tokens"] == 100
    assert bounded.tokens_bound == 1024


def test_choices_that_do_not_fit_beside_each_other_are_refused() -> None:
    plan = plan_of(ask(messages=[USER], max_tokens=300, n=8), ENTRY, seed=1)
    with pytest.raises(BadRequestError, match="do not fit beside each other"):
        counted(plan, 200, cache_tokens=1024)


def test_a_prompt_without_room_is_refused_with_both_counts() -> None:
    plan = plan_of(ask(messages=[USER], max_tokens=10), ENTRY, seed=1)
    with pytest.raises(ContextLengthError, match=r"9000 tokens .* at most 8192"):
        counted(plan, 9000)


def test_lists_of_prompts_keep_their_max_tokens_and_count_each_prompt_once() -> None:
    plan = plan_of(ask(Kind.COMPLETE, prompt=["a"] * 8, max_tokens=1000), ENTRY, seed=1)
    bounded = counted(plan, 8000)
    assert bounded.call.body["max_tokens"] == 1000
    assert bounded.tokens_bound == 16_000


def test_work_that_the_model_does_not_do_is_refused_with_what_it_does() -> None:
    with pytest.raises(UnsupportedError, match="chat, complete"):
        plan_of(ask(Kind.EMBED, input="x"), ENTRY, seed=1)


@pytest.mark.parametrize("value", [0, -1, 9, 1.5, True, "2"])
def test_n_out_of_range_is_refused_by_name(value: object) -> None:
    with pytest.raises(BadRequestError) as caught:
        plan_of(ask(messages=[USER], n=value), ENTRY, seed=1)
    assert caught.value.param == "n"


def test_a_question_counts_with_each_passage_that_it_is_read_with() -> None:
    sorts = replace(ENTRY, kinds=(Kind.RERANK,), engine=EngineKind.ONNX)
    texts = ["six", "seven"] * 20
    plan = plan_of(ask(Kind.RERANK, query="When, at sea?", documents=texts), sorts, seed=7)
    read = sum(len("When, at sea?") + len(text) + 4 for text in texts)
    assert (plan.tokens_bound >= read, plan.completion_tokens, plan.call.stream) == (True, 0, False)
    counted = counted_plan(plan, prompt_tokens=9_000, context_tokens=8192, cache_tokens=0)
    assert counted.tokens_bound == 9_000, "each pair is short enough alone"


def test_an_upstream_sorts_passages_if_it_has_the_api_for_it() -> None:
    plain = UpstreamTarget("http://a/v1", "m")
    entry = replace(ENTRY, engine=EngineKind.UPSTREAM, upstreams=(plain,))
    sorting = ask(Kind.RERANK, query="When?", documents=["six"])
    with pytest.raises(UnsupportedError, match="does not do rerank"):
        plan_of(sorting, entry, seed=7)
    more = replace(plain, apis=("rerank",))
    assert plan_of(sorting, replace(entry, upstreams=(more,)), seed=7).completion_tokens == 0
