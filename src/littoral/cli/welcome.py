"""What `littoral up` prints when it is ready: where, what, and lines that work when pasted."""

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from littoral.cli.show import Show
from littoral.node.pop import Pop
from littoral.terms.values import Down, Kind, ModelStatus, Ready

__all__ = ["document", "python_lines", "welcome"]

KEY_VARIABLE = "$LITTORAL_API_KEY"


def document(
    pop: Pop, statuses: Sequence[ModelStatus], seconds: float, first_key: str | None
) -> object:
    """The same for machines: one JSON line."""
    return {
        "ready": True,
        "url": pop.url,
        "pop": pop.pop_id,
        "pid": pop.announced.pid,
        "workers": [] if pop.workers is None else pop.workers.pids,
        "home": str(pop.home.path),
        "key": first_key,
        "seconds": round(seconds, 2),
        "models": [
            {
                "name": status.entry.name,
                "kinds": [kind.value for kind in status.entry.kinds],
                "ready": isinstance(status.state, Ready),
            }
            for status in statuses
        ],
    }


def welcome(
    show: Show,
    pop: Pop,
    statuses: Sequence[ModelStatus],
    seconds: float,
    first_key: str | None,
) -> None:
    """Everything a person needs for the first request."""
    show.line()
    show.line(f"Littoral is ready at {pop.url}  ({pop.pop_id}, {seconds:.1f} s)", style="bold")
    if pop.workers is not None:
        show.line(f"{len(pop.workers.pids)} workers answer at this address", style="dim")
    show.line(f"state in {pop.home.path}", style="dim")
    show.line()
    for status in statuses:
        _model_line(show, status)
    if first_key is not None:
        show.line()
        show.line("Your API key. It is shown this once and kept only as a hash:", style="bold")
        show.line(f"    {first_key}", style="green")
    ready = [status.entry for status in statuses if isinstance(status.state, Ready)]
    chat = next((entry.name for entry in ready if Kind.CHAT in entry.kinds), None)
    if chat is not None:
        _try_it(show, pop.url, chat, first_key)
    show.line()
    name = "littoral" if which("littoral") else str(Path(sys.executable).with_name("littoral"))
    show.line(f"Ctrl-C stops it. In another terminal: {name} --help")


def _model_line(show: Show, status: ModelStatus) -> None:
    entry = status.entry
    kinds = ", ".join(kind.value for kind in entry.kinds)
    match status.state:
        case Ready(info):
            threads = f", {info.threads} threads" if info.threads > 1 else ""
            show.line(f"  {entry.name:24} {kinds}; {info.build} on {info.device}{threads}")
        case Down(error, _):
            show.line(f"  {entry.name:24} NOT READY: {error}", style="red")
        case _:
            show.line(f"  {entry.name:24} {kinds}; loading")


def _try_it(show: Show, url: str, model: str, first_key: str | None) -> None:
    key = first_key or KEY_VARIABLE
    if first_key is None:
        show.line()
        show.line(f"With your key in {KEY_VARIABLE} (another: `littoral keys create NAME`):")
    show.line()
    for line in _curl(url, key, model):
        show.line(line, style="cyan")
    show.line()
    for line in python_lines(url, key, model):
        show.line(line, style="cyan")


def _curl(url: str, key: str, model: str) -> Sequence[str]:
    body = (
        f'{{"model": "{model}", "messages": '
        '[{"role": "user", "content": "What is the capital of France?"}]}'
    )
    return (
        f"curl -s {url}/v1/chat/completions \\",
        f'  -H "Authorization: Bearer {key}" \\',
        '  -H "Content-Type: application/json" \\',
        f"  -d '{body}'",
    )


def python_lines(url: str, key: str, model: str) -> Sequence[str]:
    """Lines for a shell that ask this model with OpenAI's client."""
    shown: Mapping[bool, str] = {
        True: f'api_key="{key}"',
        False: 'api_key=os.environ["LITTORAL_API_KEY"]',
    }
    client = () if find_spec("openai") else (f"{sys.executable} -m pip install -q openai",)
    return (
        *client,
        f"{sys.executable} - <<'EOF'",
        *(("import os",) if key == KEY_VARIABLE else ()),
        "from openai import OpenAI",
        "client = OpenAI(",
        f'    base_url="{url}/v1",',
        f"    {shown[key != KEY_VARIABLE]},",
        ")",
        "answer = client.chat.completions.create(",
        f'    model="{model}",',
        '    messages=[{"role": "user", "content": "What is the capital of France?"}],',
        ")",
        "print(answer.choices[0].message.content)",
        "EOF",
    )
