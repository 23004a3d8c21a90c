"""`littoral memory ask`: a question to a model that answers from a collection, and its sources."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
import typer

from littoral.cli.show import HomeOption, JsonOption, Show, command
from littoral.cli.talk import pop_client
from littoral.memory.briefing import gist
from littoral.node.asking import PopClient, Reply
from littoral.node.config import Config, load_config
from littoral.terms.errors import LoadingError
from littoral.terms.ids import model_name
from littoral.terms.memory import Cited, Recall, Recalled
from littoral.web.memory.native import MEMORY

__all__ = ["register"]

_DEFAULT_MODEL: Final = "smollm2-135m"
_AGAIN_S: Final = 0.5
"""Between two requests for a model that is still loading."""
_LINES_SHOWN: Final = 3
_LINE_CHARS: Final = 110
"""Of each passage, those that have most to do with the question."""
_PARAGRAPH: Final[Mapping[str, object]] = {"stop": ["\n\n", "</source>"]}
"""A very small model has said what it knows in one paragraph, and repeats itself from there on."""


class _Passage(msgspec.Struct):
    number: int
    document: str
    header: str
    score: float
    id: str
    quote: str = ""
    cited: bool = False


class _Member(msgspec.Struct):
    passages: list[_Passage] = []


def register(memory: typer.Typer) -> None:
    """Add the command to `littoral memory`."""
    memory.command("ask")(ask)


def ask(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The collection's name.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.")],
    *,
    model: Annotated[
        str, typer.Option(help="Who answers; `littoral models list` has the names.")
    ] = _DEFAULT_MODEL,
    passages: Annotated[
        int, typer.Option(min=1, max=64, help="Passages to answer from, at most.")
    ] = 5,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Most tokens to generate.")
    ] = 128,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a model what a collection says; its answer comes with the passages it was made from.

    Uses the PoP that runs on the home, or starts one for the while.
    """
    with command(as_json=as_json) as show:
        wanted = {"collection": name, "limit": passages}
        options: dict[str, object] = {"temperature": 0, "max_tokens": max_tokens, "memory": wanted}
        if model == _DEFAULT_MODEL:
            options |= _PARAGRAPH
        asking = _Asking(show, model_name(model), name, question, options)
        # uvloop would leave a terminal that it has watched non-blocking, for the shell too.
        asyncio.run(asking.run(load_config({"home": home})))


class _Asking:
    """One question."""

    def __init__(
        self,
        show: Show,
        model: str,
        name: str,
        question: str,
        options: Mapping[str, object],
    ) -> None:
        self._show = show
        self._model = model
        self._name = name
        self._question = question
        self._options = options

    async def run(self, config: Config) -> None:
        """Have it answered, and show what from."""
        async with pop_client(config, self._model, self._show) as client:
            reply = await self._reply(client)
            recall = Recall(text=self._question, limit=5)
            path = f"{MEMORY}/{quote(self._name, safe='')}/recall"
            found = await client.post(path, recall, Recalled)
        shown = msgspec.convert(reply.littoral, _Member).passages
        others = _others(shown, found.passages)
        self._show.line()
        self._tell(shown, others, {each.id: each.text for each in found.passages})
        self._show.data(
            {
                "text": reply.text,
                "finish": reply.finish,
                "model": self._model,
                "sources": shown,
                "found": [each.id for each in others],
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.completion_tokens,
                "receipt_id": reply.receipt_id,
            }
        )

    async def _reply(self, client: PopClient) -> Reply:
        messages = [{"role": "user", "content": self._question}]
        while True:
            try:
                return await client.chat(self._model, messages, self._options, self._print)
            except LoadingError as error:  # the PoP has waited, and so does whoever sits here
                self._show.note(error.message)
                await asyncio.sleep(_AGAIN_S)

    def _print(self, text: str) -> None:
        if not self._show.as_json:
            sys.stdout.write(text)
            sys.stdout.flush()

    def _tell(
        self, shown: Sequence[_Passage], others: Sequence[Cited], texts: Mapping[str, str]
    ) -> None:
        show = self._show
        if not shown:
            show.line("nothing was found in the collection", style="bold")
            return
        show.line()
        show.line("Answered from", style="bold")
        for each in shown:
            mark = "*" if each.cited else " "
            where = _where(each.document or each.id, each.header)
            show.line(f"{mark}[{each.number}] {where}  ({each.score:.4f})")
            lines = gist(texts.get(each.id, each.quote), self._question).splitlines()
            for line in lines[:_LINES_SHOWN]:
                show.line(f"      {line[:_LINE_CHARS]}", style="dim")
        if others:
            show.line("Also found", style="bold")
        for other in others:
            where = _where(other.document or other.id, other.header)
            show.line(f"    {where}  ({other.score:.4f})")


def _others(shown: Sequence[_Passage], found: Sequence[Cited]) -> list[Cited]:
    """What was found and not shown to the model: a very small one gets little."""
    ids = {each.id for each in shown}
    return [each for each in found if each.id not in ids]


def _where(document: str, header: str) -> str:
    return f"{document}: {header}" if header else document
