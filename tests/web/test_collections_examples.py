"""The scripts of other APIs' clients in `examples/` run against a PoP as they are."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.web.collections_served import pop
from tests.web.fake_door import OPERATOR_KEY

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
PATIENCE_S = 60

SAID = {
    "qdrant_script.py": """\
points: 5
nearest: ['Lisbon', 'Porto']
nearest in the north: ['Bergen']
fused: ['Bergen', 'Lisbon', 'Porto']
first three: [1, 2, 3] then 4
gone: True
""",
    "pinecone_script.py": """\
host: /pinecone/books
kept: 3
kept: 1
nearest: ['Tides', 'Harbours']
nearest since 2000: ['Harbours']
in the other namespace: ['b1']
lent: ['b3']
ids: ['b1', 'b3']
counts: {'__default__': 2, 'signed': 1}
gone: True
""",
}


@pytest.mark.parametrize("name", SAID)
async def test_an_unmodified_script_says_what_it_would_say_elsewhere(name: str) -> None:
    async with pop() as served, asyncio.timeout(PATIENCE_S):
        script = await asyncio.create_subprocess_exec(
            *(sys.executable, EXAMPLES / name, served.server.url, OPERATOR_KEY),
            stdout=PIPE,
            stderr=PIPE,
        )
        said, complaints = await script.communicate()
    assert (script.returncode, said.decode()) == (0, SAID[name]), complaints.decode()
