"""skopeo, a registry client of others, pulls from a PoP."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.web.fake_door import KEY
from tests.web.shelf import FILES, Pop, pop_with, shelf_in

SYSTEM = Path(__file__).parent.parent.parent / ".peers" / "system" / "usr"


def skopeo(*words: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("skopeo") or shutil.which("skopeo", path=str(SYSTEM / "bin"))
    if program is None:
        pytest.skip("skopeo is not here and could not be unpacked")
    libraries = [*map(str, (SYSTEM / "lib").glob("*-linux-gnu"))]
    libraries += filter(None, [os.environ.get("LD_LIBRARY_PATH")])
    return subprocess.run(
        [program, "--insecure-policy", *words],
        env={**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def pulled(pop: Pop, target: Path, key: str = KEY) -> "subprocess.CompletedProcess[str]":
    source = f"docker://127.0.0.1:{pop.served.port}/acme/tiny:latest"
    words = ("copy", "--src-tls-verify=false", f"--src-creds=pop:{key}", source, f"dir:{target}")
    return await asyncio.to_thread(skopeo, *words)


async def test_skopeo_pulls_every_file(tmp_path: Path) -> None:
    async with pop_with(shelf_in(tmp_path)) as pop:
        done = await pulled(pop, tmp_path / "pulled")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "pulled" / "manifest.json").read_bytes())
    for layer in manifest["layers"]:
        data = FILES[layer["annotations"]["org.opencontainers.image.title"]]
        assert (tmp_path / "pulled" / hashlib.sha256(data).hexdigest()).read_bytes() == data
    assert len(manifest["layers"]) == len(FILES)


async def test_skopeo_is_told_that_its_key_is_wrong(tmp_path: Path) -> None:
    async with pop_with(shelf_in(tmp_path)) as pop:
        done = await pulled(pop, tmp_path / "pulled", "lit_false")
    assert done.returncode != 0
    assert "the API key is not accepted" in done.stderr
