"""Write constraints.txt: every version and hash that an installation may use, and no host.

The file has two parts, told apart by one comment line: what `make up` installs (the runtime, the
engines and the build backend), then what only development needs. Both come from one resolution,
so that a package has one version everywhere. Run by `make constraints`, never by a user.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
MARKER = "# For development only."
HEADER = """\
# Every version and hash that an installation of Littoral may use. Made by `make constraints`.
# For `make up`: the runtime, the engines, and what builds the package.
"""


UP: Final = ("engines", "memory", "s3")
"""The extras that `make up` installs; the others are for who has such a server."""


def resolve(uv: str, extras: Sequence[str], group: str, pins: str) -> str:
    """The pinned, hashed closure of the runtime, some extras and one dependency group."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(pins)
        constraints.flush()
        command = [
            *(uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
            *("--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate"),
            *extras,
            *("--group", group, "--constraints", constraints.name),
            "pyproject.toml",
        ]
        return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=-1).stdout


def blocks(text: str) -> list[str]:
    """One piece of text for each pinned package: its line and the lines of its hashes."""
    return re.findall(r"^[a-z0-9].*\n(?:    .*\n)*", text, flags=re.MULTILINE)


def pin(block: str) -> str:
    """The `name==version` that a block begins with."""
    return block.split(maxsplit=1)[0]


def main() -> None:
    """Resolve twice and write the file."""
    uv = sys.argv[1]
    everything = blocks(resolve(uv, ["--all-extras"], "dev", ""))
    requirements = "".join(block.split(" \\")[0] + "\n" for block in everything)
    runtime = blocks(resolve(uv, [f"--extra={extra}" for extra in UP], "build", requirements))
    shared = {pin(block) for block in runtime}
    development = [block for block in everything if pin(block) not in shared]
    text = f"{HEADER}{''.join(runtime)}{MARKER}\n{''.join(development)}"
    (ROOT / "constraints.txt").write_text(text)
    print(f"{len(runtime)} packages for `make up`, {len(development)} more for development")


if __name__ == "__main__":
    main()
