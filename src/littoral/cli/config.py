"""`littoral config`: what the settings are, who says so, and whether a littoral.toml is right."""

from pathlib import Path
from typing import Annotated, Any

import typer

from littoral.cli.options import with_settings
from littoral.cli.show import HomeOption, JsonOption, command
from littoral.node.config import Loaded, load_settings
from littoral.node.config_file import FILE_NAME, example
from littoral.node.settings import CONFIG_FILE, SETTINGS
from littoral.node.surface import tls_of

__all__ = ["register"]

_config = typer.Typer(no_args_is_help=True, help="Show and check the settings of this machine.")


def register(app: typer.Typer) -> None:
    """Add `config` to the command line."""
    app.add_typer(_config, name="config")


def show_settings(config: Loaded, as_json: JsonOption = False) -> None:
    """Show every setting as `up` would have it, and where it came from."""
    with command(as_json=as_json) as show:
        settings = [_document(config, row.name, row.unit) for row in SETTINGS]
        show.data({"file": config.file and str(config.file), "settings": settings})
        show.note(_of_file(config))
        show.table(
            ("setting", "value", "unit", "from", "where"),
            [(each["name"], _shown(each["value"]), *list(each.values())[2:]) for each in settings],
        )


_config.command("show")(with_settings(show_settings, load_settings))


@_config.command("check")
def check(
    file: Annotated[
        Path | None,
        typer.Argument(help=f"The file. Default: the one that `up` would read, HOME/{FILE_NAME}."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the settings as `up` would, and the files that they name; say what is wrong."""
    with command(as_json=as_json) as show:
        named = None if file is None else str(file)
        loaded = load_settings({"home": home, CONFIG_FILE.name: named})
        tls_of(loaded.config)
        show.data({"ok": True, "file": loaded.file and str(loaded.file)})
        show.line(f"ok: {_of_file(loaded)}")


@_config.command("example")
def show_example(as_json: JsonOption = False) -> None:
    """Print a littoral.toml with every setting, all commented out."""
    with command(as_json=as_json) as show:
        show.data({"text": example()})
        show.line(example().rstrip("\n"))


def _document(loaded: Loaded, name: str, unit: str) -> dict[str, Any]:
    """A setting as `--json` shows it."""
    value, told = getattr(loaded.config, name), loaded.told[name]
    return {
        "name": name,
        "value": str(value) if isinstance(value, Path) else value,
        "unit": unit,
        "source": told.source,
        "place": "" if told.source == "default" else told.place,
    }


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(value) or "none"
        case _:
            return str(value) or "none"


def _of_file(loaded: Loaded) -> str:
    if loaded.file is None:
        return f"no file is read, as there is no {loaded.config.home / FILE_NAME}"
    return f"read {loaded.file}"
