"""Install what a file pins into this environment: `python -m tools.install constraints.txt`.

uv does it in a tenth of the time that pip takes. pip brings uv in first, and installs the rest
itself where uv can't; what uv is told of indexes, certificates and proxies is what pip is told.
It runs before anything is installed, so it needs the standard library alone.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["main", "pinned", "told"]

_PIP: Final = (sys.executable, "-m", "pip")
_HOW: Final = ("--require-hashes", "--no-deps")
_VARIABLES: Final = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
}
"""Of what pip is told: the variable that tells uv, and what stands there between two values."""
_RANKS: Final = ("global", "install", ":env:")
"""Where pip is told it; the last counts."""


def told(listed: str) -> dict[str, str]:
    """What uv is to be told, by variables.

    Args:
        listed: what `pip config list` prints.
    """
    found: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        read = re.fullmatch(r"(\S+?)\.([\w-]+)=('.*'|\".*\")", line)
        if read is None or read[1] not in _RANKS or read[2] not in _VARIABLES:
            continue
        variable, between = _VARIABLES[read[2]]
        value = between.join(str(ast.literal_eval(read[3])).split())
        found[variable] = max(found.get(variable, (-1, "")), (_RANKS.index(read[1]), value))
    return {variable: value for variable, (_, value) in found.items() if value}


def pinned(text: str, package: str) -> str:
    """The lines of one package: its version and its hashes; empty where it is not there."""
    read = re.search(rf"^{package}==.*\n(?:    .*\n)*", text, flags=re.MULTILINE)
    return read[0] if read else ""


def _brought_uv(text: str) -> bool:
    """Whether uv is here now."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as alone:
        alone.write(pinned(text, "uv"))
        alone.flush()
        command = [*_PIP, "install", "-qq", "--no-compile", *_HOW, "-r", alone.name]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _installed(file: Path, environment: Mapping[str, str]) -> bool:
    """Whether uv has installed all of it; what it says otherwise is shown."""
    uv = Path(sys.executable).with_name("uv")
    command = [*(str(uv), "pip", "install", "-q", "--python", sys.executable), *_HOW]
    # Whichever index has a file, its hash is pinned.
    command += ["--index-strategy", "unsafe-best-match", "-r", str(file)]
    return subprocess.run(command, check=False, env=environment).returncode == 0


def main() -> int:
    """Install it; the exit status."""
    file = Path(sys.argv[1])
    listed = subprocess.run([*_PIP, "config", "list"], check=False, text=True, capture_output=True)
    if _brought_uv(file.read_text()) and _installed(file, told(listed.stdout) | os.environ):
        return 0
    print("uv could not install it, so pip does: that takes a minute longer", file=sys.stderr)
    return subprocess.run([*_PIP, "install", "-qq", *_HOW, "-r", str(file)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
