"""`littoral run`: ask a model once, or talk with it."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from littoral.adapters.clock import SystemClock
from littoral.cli.saving import new_file
from littoral.cli.show import HomeOption, JsonOption, Show, command
from littoral.cli.talk import pop_client
from littoral.cli.terminal import Interrupted, Interrupts, typed_line
from littoral.node.asking import PopClient, Reply
from littoral.node.config import Config, load_config
from littoral.terms.errors import BadRequestError, LittoralError, LoadingError
from littoral.terms.ids import model_name
from littoral.terms.values import SECOND

__all__ = ["register"]

PROMPT = ">>> "
_AGAIN_S = 0.5
"""Between two requests for a model that is still loading."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    model: Annotated[str, typer.Argument(help="A model's name; `littoral models list` has them.")],
    prompt: Annotated[
        str | None, typer.Argument(help="What to ask. Without it: a conversation.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="The system prompt.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Most tokens to generate.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, max=2, help="0 is the likeliest answer.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="For the same answer again.")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Save answer and receipt for `littoral verify`.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a model; its answer is printed as it comes.

    Uses the PoP that runs on the home, or starts one for the while.
    """
    with command(as_json=as_json) as show:
        config = load_config({"home": home})
        options = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        given = {name: value for name, value in options.items() if value is not None}
        opening = [{"role": "system", "content": system}] if system else []
        if prompt is None and not sys.stdin.isatty():
            prompt = sys.stdin.read()
        if save is not None and prompt is None:
            raise BadRequestError(
                "--save keeps one answer, not a conversation",
                advice="give a prompt with it, or use `littoral receipts save` afterwards",
            )
        with ExitStack() as stack:
            write = stack.enter_context(new_file(save)) if save is not None else None
            talk = _Talk(show, model_name(model), opening, given)
            # uvloop would leave a terminal that it has watched non-blocking, for the shell too.
            reply = asyncio.run(talk.run(config, prompt))
            if write is not None and reply is not None:
                write(reply.bundle())
                show.note(f"saved to {save}; check it with `littoral verify {save}`")


class _Talk:
    """One conversation on the terminal."""

    def __init__(
        self,
        show: Show,
        model: str,
        opening: list[dict[str, str]],
        options: Mapping[str, object],
    ) -> None:
        self._show = show
        self._model = model
        self._messages = opening
        self._options = options
        self._clock = SystemClock()

    async def run(self, config: Config, prompt: str | None) -> Reply | None:
        """Ask once, and give the reply; or converse until the person has had enough."""
        async with pop_client(config, self._model, self._show) as client:
            if prompt is not None:
                return await self._ask(client, prompt)
            with Interrupts() as interrupts:
                await self._converse(client, interrupts)
            return None

    async def _converse(self, client: PopClient, interrupts: Interrupts) -> None:
        self._show.note("Ctrl-C ends an answer; at the prompt it ends the conversation, or Ctrl-D")
        while True:
            try:
                async with interrupts.ending(prompt=True):
                    line = await typed_line(PROMPT)
            except Interrupted:
                line = None
            if line is None:
                self._show.line()
                return
            if not line.strip():
                continue
            try:
                async with interrupts.ending():
                    await self._ask(client, line)
            except Interrupted:
                self._show.line()
                self._show.note("the answer was ended, and the conversation goes on without it")
            except LittoralError as error:
                self._show.note(f"error: {error}", style="red")

    async def _ask(self, client: PopClient, prompt: str) -> Reply:
        began = self._clock.now()
        messages = [*self._messages, {"role": "user", "content": prompt}]
        reply = None
        while reply is None:
            try:
                reply = await client.chat(self._model, messages, self._options, self._print)
            except LoadingError as error:  # the PoP has waited, and so does whoever sits here
                self._show.note(error.message)
                await asyncio.sleep(_AGAIN_S)
        seconds = (self._clock.now() - began) / SECOND
        self._messages = [*messages, {"role": "assistant", "content": reply.text}]
        self._show.line()
        self._show.data(_document(reply, seconds))
        self._show.note(_summary(reply, seconds))
        return reply

    def _print(self, text: str) -> None:
        if not self._show.as_json:
            sys.stdout.write(text)
            sys.stdout.flush()


def _summary(reply: Reply, seconds: float) -> str:
    rate = reply.completion_tokens / seconds if seconds else 0.0
    cut = " (cut off at max_tokens)" if reply.finish == "length" else ""
    return (
        f"{reply.completion_tokens} tokens in {seconds:.1f} s, {rate:.0f}/s{cut}; "
        f"receipt {reply.receipt_id}"
    )


def _document(reply: Reply, seconds: float) -> dict[str, object]:
    return {
        "text": reply.text,
        "finish": reply.finish,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "receipt_id": reply.receipt_id,
        "seconds": round(seconds, 3),
    }
