"""Models are told of tools in the way that they can take."""

import pytest

from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.values import ModelEntry
from littoral.web.dialects.tools import Function, ToolPlan, ToolWay, call_schema, plan_tools
from tests.web.dialects.desk import ADD, ENTRIES, WEATHER

SMALL, NATIVE, PLAIN, ECHO, FAR = ENTRIES.values()
MESSAGES = [{"role": "user", "content": "Is it cold in Oslo?"}]
BODY: dict[str, object] = {"messages": MESSAGES, "tools": [WEATHER, ADD]}
NAMED = {"type": "function", "function": {"name": "add"}}
BOTH = ("get_weather", "add")

PROMPT = """You are a helpful assistant.

Tools:
Get the current weather of a city: {"name": "get_weather", "arguments": {"city": "..."}}
Add two numbers: {"name": "add", "arguments": {"a": "...", "b": "..."}}

To use a tool, answer only with its JSON."""


def test_a_model_without_a_template_for_tools_reads_of_them_in_its_system_prompt() -> None:
    body, plan = plan_tools(BODY, SMALL)
    assert body == {"messages": [{"role": "system", "content": PROMPT}, *MESSAGES]}
    assert plan == ToolPlan(ToolWay.SPOKEN, BOTH)


def test_the_callers_own_system_prompt_stays_first() -> None:
    messages = [{"role": "system", "content": "Speak French."}, *MESSAGES]
    body, _ = plan_tools({**BODY, "messages": messages}, SMALL)
    given = body["messages"]
    assert isinstance(given, list)
    assert given[0]["content"].startswith("Speak French.\n\nTools:\n")
    assert given[1:] == MESSAGES


def test_a_model_that_knows_tools_gets_them_as_they_are() -> None:
    assert plan_tools(BODY, NATIVE) == (BODY, ToolPlan(ToolWay.SPOKEN, BOTH))


def test_an_upstream_gets_everything_as_it_is() -> None:
    body = {**BODY, "tool_choice": "required", "tools": [{"type": "web_search"}]}
    assert plan_tools(body, FAR) == (body, ToolPlan())


@pytest.mark.parametrize("entry", [SMALL, NATIVE, PLAIN])
def test_a_demanded_call_is_forced_on_any_local_model(entry: ModelEntry) -> None:
    body, plan = plan_tools({**BODY, "tool_choice": "required"}, entry)
    assert plan == ToolPlan(ToolWay.FORCED, BOTH)
    assert body.keys() == {"messages", "response_format"}


def test_a_named_function_is_the_only_one_left() -> None:
    body, plan = plan_tools({**BODY, "tool_choice": NAMED}, SMALL)
    assert plan.names == ("add",)
    assert "get_weather" not in str(body)


def test_no_tools_are_told_where_none_may_be_called() -> None:
    body, plan = plan_tools({**BODY, "tool_choice": "none", "parallel_tool_calls": True}, NATIVE)
    assert (body, plan) == ({"messages": MESSAGES}, ToolPlan())


def test_an_answer_that_has_a_shape_of_its_own_is_never_a_call() -> None:
    shaped = {**BODY, "response_format": {"type": "json_object"}}
    assert plan_tools(shaped, SMALL)[1] == ToolPlan()


def test_calls_that_may_not_be_parallel_are_cut_to_the_first() -> None:
    assert plan_tools({**BODY, "parallel_tool_calls": False}, SMALL)[1].first_only


def test_models_that_take_no_tools_say_so() -> None:
    with pytest.raises(UnsupportedError, match="plain takes no tools"):
        plan_tools(BODY, PLAIN)
    with pytest.raises(UnsupportedError, match="can't be made to call"):
        plan_tools({**BODY, "tool_choice": "required"}, ECHO)


def _tool(**function: object) -> dict[str, object]:
    return {"type": "function", "function": function}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": "all"}, "tools"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [_tool()]}, "tools[0].function.name"),
        ({"tools": [_tool(name="a b")]}, "tools[0].function.name"),
        ({"tools": [_tool(name="a" * 65)]}, "tools[0].function.name"),
        ({"tools": [_tool(name="a", parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [ADD, ADD]}, "tools"),
        ({"tools": [ADD] * 129}, "tools"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"tool_choice": "required", "tools": []}, "tools"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ],
)
def test_what_is_wrong_with_tools_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        plan_tools({**BODY, **fields}, SMALL)
    assert raised.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}},
    ],
)
def test_other_kinds_of_tools_are_refused_as_unsupported(fields: dict[str, object]) -> None:
    with pytest.raises(UnsupportedError):
        plan_tools({**BODY, **fields}, SMALL)


def test_references_within_parameters_are_led_to_where_these_are() -> None:
    parameters: dict[str, object] = {
        "$defs": {"Day": {"enum": ["monday"]}},
        "properties": {"days": {"items": [{"$ref": "#/$defs/Day"}]}, "root": {"$ref": "#"}},
    }
    schema = call_schema([Function("book", parameters=parameters)])
    assert schema["properties"] == {
        "name": {"const": "book"},
        "arguments": {"$ref": "#/$defs/book"},
    }
    moved = schema["$defs"]
    assert isinstance(moved, dict)
    assert moved["book"]["properties"] == {
        "days": {"items": [{"$ref": "#/$defs/book/$defs/Day"}]},
        "root": {"$ref": "#/$defs/book"},
    }
