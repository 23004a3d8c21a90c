"""`littoral pipeline`: what is asked of which models, in which order, said once and delivered."""

from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.operate import ask, tell
from littoral.cli.show import HomeOption, JsonOption, Show, command
from littoral.node.config import load_config
from littoral.terms.errors import BadRequestError
from littoral.terms.limits import PIPELINE_DOCUMENT_BYTES_MAX
from littoral.terms.pipelines import (
    Embed,
    Generate,
    PipelineRow,
    PipelineShown,
    PipelinesShown,
    PipelineWanted,
    Recall,
    Rerank,
    Step,
)
from littoral.web.delivery import DELIVERY

__all__ = ["register"]

_pipeline = typer.Typer(
    no_args_is_help=True, help="Several models that answer one request together."
)
_PATH = f"{DELIVERY}/pipelines"


def register(app: typer.Typer) -> None:
    """Add `pipeline` to the command line."""
    app.add_typer(_pipeline, name="pipeline")


@_pipeline.command("define")
def define(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The pipeline, in TOML: see docs/pipelines.md.")
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a pipeline as this PoP's, and have it delivered by its name like any artifact."""
    with command(as_json=as_json) as show:
        wanted = PipelineWanted(_read(file))
        row = tell(load_config({"home": home}), _PATH, wanted, PipelineRow)
        show.data(row)
        show.line(f"{row.name} is {row.artifact}")
        show.line(f"on another PoP: littoral pull {row.artifact}")
        show.line(f"ask it as a model: littoral run pipeline:{row.name} QUESTION")


@_pipeline.command("list")
def list_all(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the pipelines that are here."""
    with command(as_json=as_json) as show:
        found = ask(load_config({"home": home}), _PATH, PipelinesShown)
        show.data(found)
        if not found.pipelines:
            show.line("there is none; `littoral pipeline define FILE` makes one")
            return
        columns = ("pipeline", "artifact", "defined by", "steps")
        rows = [(it.name, it.artifact, it.pop, ", ".join(it.steps)) for it in found.pipelines]
        show.table(columns, rows)


@_pipeline.command("show")
def show_one(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, or its artifact's.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a pipeline does, step by step."""
    with command(as_json=as_json) as show:
        found = ask(load_config({"home": home}), f"{_PATH}/{name}", PipelineShown)
        show.data(found)
        _tell(show, found)


def _read(file: Path) -> str:
    """What is in the file, or enough of it to be refused."""
    try:
        with file.open("rb") as opened:
            return opened.read(PIPELINE_DOCUMENT_BYTES_MAX + 1).decode()
    except OSError as error:
        raise BadRequestError(f"{file} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadRequestError(f"{file} is no text in UTF-8") from error


def _tell(show: Show, found: PipelineShown) -> None:
    pipeline = found.pipeline
    show.line(f"{pipeline.name}: {pipeline.about}" if pipeline.about else pipeline.name)
    show.line(f"artifact {found.artifact}, defined by {found.pop}")
    rows = [(step.name, *_said(found, step)) for step in pipeline.steps]
    show.table(("step", "does", "with", "of"), rows)
    for name, prompt in pipeline.prompts.items():
        show.line(f"prompt {name}:")
        show.line(prompt)


def _said(found: PipelineShown, step: Step) -> tuple[str, str, str]:
    """What a step does, with what, and of what."""
    pipeline = found.pipeline
    match step:
        case Embed():
            return "embed", pipeline.models[step.model], step.text
        case Recall():
            return f"recall {step.most}", pipeline.collections[step.collection], step.query
        case Rerank():
            of = f"{step.passages} by {step.query}"
            return f"rerank, keep {step.most}", pipeline.models[step.model], of
        case Generate():
            of = ", ".join(step.uses.values())
            return f"generate by {step.prompt}", pipeline.models[step.model], of
