"""What is loaded for a command line: the command that it names, or else all of them."""

import subprocess
import sys

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from littoral.cli.main import COMMANDS, command_line


def names(first: str = "") -> list[str]:
    group = get_command(command_line(first))
    assert isinstance(group, TyperGroup)
    return list(group.commands)


def test_without_a_command_all_are_there() -> None:
    assert sorted(names()) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_had_from_its_module_alone(command: str) -> None:
    assert command in names(command)
    helped = CliRunner().invoke(command_line(command), [command, "--help"])
    assert helped.exit_code == 0, helped.output
    assert f"littoral {command}" in helped.stdout.replace("root", "littoral")


def test_what_is_no_command_is_said_with_what_was_meant() -> None:
    said = CliRunner().invoke(command_line("recepts"), ["recepts"])
    assert said.exit_code == 2
    assert "receipts" in said.stderr


def test_a_short_command_does_not_load_a_pop() -> None:
    script = (
        "import sys\n"
        "from littoral.cli import main\n"
        "main.command_line('keys')\n"
        "print([each for each in sys.modules if each.startswith('littoral.node.pop')])\n"
        "main.command_line('up')\n"
        "print([each for each in sys.modules if each.startswith('littoral.node.pop')])\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout == "[]\n['littoral.node.pop']\n"
