"""Questions of agents, answered by a model from a collection; see `web.mcp.tools.MemoryAsk`.

It is a chat that takes its sources from memory, as any client may have one: the same limits, the
same budget, a receipt that names the passages.
"""

from typing import Final

import msgspec

from littoral.memory.briefing import is_small
from littoral.terms.errors import EngineFailedError, UnknownModelError
from littoral.terms.ids import model_name
from littoral.terms.limits import MCP_ANSWER_TOKENS
from littoral.terms.ports import Door
from littoral.terms.sources import MemoryWanted
from littoral.terms.values import Ask, Caller, Kind, ModelEntry, Ready
from littoral.web.mcp.tools import Answered

__all__ = ["Asked"]

_API: Final = "mcp"


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Chat(msgspec.Struct):
    choices: list[_Choice]


_decode: Final = msgspec.json.Decoder(_Chat).decode


class Asked:
    """Has models answer."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(
        self, collection: str, question: str, model: str, caller: Caller
    ) -> Answered:
        """Recall passages, and have a model answer from them."""
        entry = self._chosen(model, caller)
        body: dict[str, object] = {
            "model": entry.name,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": MCP_ANSWER_TOKENS,
        }
        if is_small(entry):  # it has said what it knows in one paragraph, and then repeats itself
            body["stop"] = ["\n\n"]
        ask = Ask(
            api=_API,
            kind=Kind.CHAT,
            model=entry.name,
            body=body,
            stream=False,
            raw=msgspec.json.encode(body),
            memory=MemoryWanted(collections=(collection,)),
        )
        async with self._door.answer(ask, caller) as answer:
            pieces = []
            async for piece in answer.chunks:
                answer.sent(piece)
                pieces.append(piece)
            await answer.seal()
            sources, receipt = answer.sources, answer.headers.get("littoral-receipt", "")
        try:
            text = _decode(b"".join(pieces)).choices[0].message.content or ""
        except (msgspec.MsgspecError, IndexError) as error:
            raise EngineFailedError(f"{entry.name} has not answered as a chat") from error
        passages = () if sources is None else sources.passages
        return Answered(text.strip(), passages, entry.name, receipt)

    def _chosen(self, model: str, caller: Caller) -> ModelEntry:
        """The model that is named; else one that is loaded, the largest of those."""
        there = [each for each in self._door.models(caller) if Kind.CHAT in each.entry.kinds]
        if model:
            name = model_name(model)
            there = [each for each in there if each.entry.name == name]
        if not there:
            said = f"is named {model[:96]!r}" if model else "may be asked by this key"
            raise UnknownModelError(f"no chat model here {said}", param="model")
        best = max(there, key=lambda each: (isinstance(each.state, Ready), each.entry.size_bytes))
        return best.entry
