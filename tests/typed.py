"""Commands as they are typed, run in this process: as one of its own each takes most of a second.

So are those run by which tests get something done. What commands are as processes (their signals,
their terminals, what is left of them) is tested with processes.
"""

import asyncio
import os
import subprocess
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path
from unittest.mock import patch

from typer.testing import CliRunner

from littoral.cli.main import command_line

__all__ = ["typed"]


def typed(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What `littoral WORDS` prints and how it ends."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(words, cwd)
    with ThreadPoolExecutor(1) as thread:  # a command has a loop of its own
        return thread.submit(_run, words, cwd).result()


def _run(words: tuple[str, ...], cwd: Path | None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LITTORAL_")}
    with chdir(cwd or Path.cwd()), patch.dict(os.environ, environment, clear=True):
        done = CliRunner().invoke(command_line(words[0]), words, prog_name="littoral")
    stderr = done.stderr
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        stderr += "".join(traceback.format_exception(done.exception))
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, stderr)
