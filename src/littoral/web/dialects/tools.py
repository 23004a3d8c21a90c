"""Tools: how a model is told of them, and how its answer is to be read.

Three ways, chosen by what the model can do and what the caller wants:

- as it is: no tools are in play, or the upstream knows tools itself;
- spoken: the model may call a tool or answer. One that knows tools is given them, one that does
  not reads of them in its system prompt; calls that come as text are made proper ones;
- forced: the caller demands a call. A schema built from the tools leaves the model no choice, for
  few small models obey a mere request.

The wording of the prompt was tried on SmolLM2-135M: with an example call for each tool it picks
the right tool and arguments when a call is demanded. Of its own accord that model never calls one.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from littoral.terms import limits
from littoral.terms.errors import BadRequestError, UnsupportedError
from littoral.terms.values import EngineKind, ModelEntry, ToolSupport
from littoral.web.dialects.calls import CallReader, ForcedCall, SpokenCalls
from littoral.web.dialects.reading import checked, is_local

__all__ = [
    "Choice",
    "Function",
    "Need",
    "ToolName",
    "ToolPlan",
    "ToolWay",
    "call_schema",
    "choice_of",
    "offered",
    "plan_tools",
    "tools_prompt",
]

PLAIN_SYSTEM: Final = "You are a helpful assistant."
"""Beside tools, for whoever sends no system prompt: a model's own default is made for answers in
words, and small models then fill in worse arguments."""

ToolName = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]


class Function(msgspec.Struct):
    """A tool that a caller offers."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, object] | None = None


class _Tool(msgspec.Struct):
    type: str
    function: Function | None = None


class _Tools(msgspec.Struct):
    tools: Annotated[list[_Tool], msgspec.Meta(max_length=limits.TOOLS_MAX)] | None = None
    tool_choice: str | dict[str, object] | None = None
    parallel_tool_calls: bool | None = None


class Need(enum.Enum):
    """How much the caller wants a call."""

    NONE = "none"
    AUTO = "auto"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Choice:
    """What `tool_choice` says. `name` is the one tool that is wanted, if one is."""

    need: Need
    name: str | None = None


class ToolWay(enum.Enum):
    """How an answer is to be read."""

    AS_IT_IS = "as it is"
    SPOKEN = "spoken"
    FORCED = "forced"


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """How the answers to one request are read."""

    way: ToolWay = ToolWay.AS_IT_IS
    names: tuple[str, ...] = ()
    first_only: bool = False

    def reader(self) -> CallReader:
        """A fresh reader for one choice of the answer."""
        if self.way is ToolWay.FORCED:
            return ForcedCall(self.names)
        names = self.names if self.way is ToolWay.SPOKEN else ()
        return SpokenCalls(names, first_only=self.first_only)


def plan_tools(body: Mapping[str, object], entry: ModelEntry) -> tuple[dict[str, object], ToolPlan]:
    """The body that the model's engine gets, and how to read what it answers.

    Raises:
        BadRequestError: tools or the choice among them are malformed.
        UnsupportedError: the model takes no tools.
    """
    fields = checked(body, _Tools)
    if not is_local(entry) and entry.tools is not ToolSupport.PROMPTED:
        return dict(body), ToolPlan()
    functions = offered(fields.tools or [])
    choice = choice_of(fields.tool_choice, functions)
    if not functions or choice.need is Need.NONE:
        return _without_tools(body), ToolPlan()
    first_only = fields.parallel_tool_calls is False
    if choice.need is Need.REQUIRED:
        return _forced(
            body, entry, [each for each in functions if choice.name in {None, each.name}]
        )
    if entry.tools is ToolSupport.NONE:
        raise UnsupportedError(
            f"{entry.name} takes no tools",
            advice='ask another model, or send "tool_choice": "none"',
            param="tools",
        )
    told = dict(body) if entry.tools is ToolSupport.NATIVE else _told(body, functions)
    if _is_shaped(body):
        return told, ToolPlan()
    names = tuple(each.name for each in functions)
    return told, ToolPlan(ToolWay.SPOKEN, names, first_only)


def offered(tools: Sequence[_Tool]) -> list[Function]:
    """The functions among the tools, which they all must be.

    Raises:
        BadRequestError: a function is missing, or two have one name.
        UnsupportedError: a tool is of a kind that is run by OpenAI itself.
    """
    functions: list[Function] = []
    for index, tool in enumerate(tools):
        if tool.type != "function":
            raise UnsupportedError(
                f"`tools[{index}].type` is not `function`, the only kind of tool here",
                advice="offer functions; the client runs them",
                param=f"tools[{index}].type",
            )
        if tool.function is None:
            place = f"tools[{index}].function"
            raise BadRequestError(f"`{place}` is missing", param=place)
        functions.append(tool.function)
    if len({each.name for each in functions}) < len(functions):
        raise BadRequestError("two tools have the same name", param="tools")
    return functions


def choice_of(given: str | Mapping[str, object] | None, functions: Sequence[Function]) -> Choice:
    """What `tool_choice` says, checked against the tools there are."""
    if given is None:
        return Choice(Need.AUTO)
    if isinstance(given, str):
        if given not in {need.value for need in Need}:
            raise BadRequestError(
                "`tool_choice` is not a choice there is",
                advice="send none, auto, required or one function",
                param="tool_choice",
            )
        choice = Choice(Need(given))
    else:
        choice = Choice(Need.REQUIRED, _named(given))
    if choice.name is not None and choice.name not in {each.name for each in functions}:
        raise BadRequestError("`tool_choice` names a tool that is not offered", param="tool_choice")
    if choice.need is Need.REQUIRED and not functions:
        raise BadRequestError("`tool_choice` wants a call and no tool is offered", param="tools")
    return choice


def _named(given: Mapping[str, object]) -> str:
    if given.get("type") != "function":
        raise UnsupportedError(
            "`tool_choice` is of a kind that this PoP does not know",
            advice="send none, auto, required or one function",
            param="tool_choice.type",
        )
    function = given.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise BadRequestError(
            "`tool_choice.function.name` must be a string", param="tool_choice.function.name"
        )
    return name


def _is_shaped(body: Mapping[str, object]) -> bool:
    """Whether the caller gave the answer a shape of its own: then a call in text is an answer."""
    shape = body.get("response_format")
    return isinstance(shape, dict) and shape.get("type") in ("json_object", "json_schema")


def _without_tools(body: Mapping[str, object]) -> dict[str, object]:
    absent = {"tools", "tool_choice", "parallel_tool_calls"}
    return {name: value for name, value in body.items() if name not in absent}


def _told(body: Mapping[str, object], functions: Sequence[Function]) -> dict[str, object]:
    """The body with the tools told in the system prompt."""
    told = _without_tools(body)
    given = told["messages"]
    messages = list(given) if isinstance(given, list) else []
    system = PLAIN_SYSTEM
    if messages and messages[0].get("role") == "system":
        system = str(messages.pop(0).get("content") or system)
    prompt = f"{system}\n\n{tools_prompt(functions)}"
    told["messages"] = [{"role": "system", "content": prompt}, *messages]
    return told


def _forced(
    body: Mapping[str, object], entry: ModelEntry, functions: Sequence[Function]
) -> tuple[dict[str, object], ToolPlan]:
    """The body under a schema that only a call fulfils."""
    if entry.engine not in {EngineKind.LLAMA, EngineKind.UPSTREAM}:
        raise UnsupportedError(
            f"{entry.name} can't be made to call a tool",
            advice='send "tool_choice": "auto" or "none", or ask another model',
            param="tool_choice",
        )
    forced = _told(body, functions)
    schema = call_schema(functions)
    forced["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "tool_call", "schema": schema},
    }
    return forced, ToolPlan(ToolWay.FORCED, tuple(each.name for each in functions))


def tools_prompt(functions: Sequence[Function]) -> str:
    """What a model that knows no tools is told of them: an example call for each."""
    lines = []
    for each in functions:
        example = {"name": each.name, "arguments": _example(each.parameters or {})}
        call = msgspec.json.format(msgspec.json.encode(example), indent=0).decode()
        lines.append(f"{(each.description or each.name).strip().removesuffix('.')}: {call}")
    return "\n".join(["Tools:", *lines, "", "To use a tool, answer only with its JSON."])


def _example(parameters: Mapping[str, object]) -> dict[str, str]:
    properties = parameters.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: _placeholder(schema) for name, schema in properties.items()}


def _placeholder(schema: object) -> str:
    choices = schema.get("enum") if isinstance(schema, dict) else None
    return "|".join(map(str, choices)) if isinstance(choices, list) else "..."


def call_schema(functions: Sequence[Function]) -> dict[str, object]:
    """The JSON schema of exactly one call of one of the functions, its name first.

    Parameters stand under `$defs`, so that references inside of them can be led there.
    """
    calls: list[dict[str, object]] = [
        {
            "type": "object",
            "properties": {
                "name": {"const": each.name},
                "arguments": {"$ref": f"#/$defs/{each.name}"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for each in functions
    ]
    parameters = {
        each.name: _moved(each.parameters or {"type": "object"}, f"#/$defs/{each.name}")
        for each in functions
    }
    return {**(calls[0] if len(calls) == 1 else {"anyOf": calls}), "$defs": parameters}


def _moved(schema: object, root: str) -> object:
    """The schema with its references to its own root led to where that root is now."""
    if isinstance(schema, dict):
        return {
            name: root + value[1:]
            if name == "$ref" and isinstance(value, str) and value.startswith("#")
            else _moved(value, root)
            for name, value in schema.items()
        }
    if isinstance(schema, list):
        return [_moved(each, root) for each in schema]
    return schema
