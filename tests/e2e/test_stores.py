"""Vector stores and agents' memory on a real PoP with its real embedding model, as users do it."""

import pytest
from openai import OpenAI

from examples import mcp_client, openai_vector_store
from tests.conftest import ROOT, RunningPop

pytestmark = pytest.mark.model


def test_an_openai_script_finds_what_answers_its_question(
    pop: RunningPop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{pop.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", pop.key)
    files = [str(ROOT / each) for each in ("docs/fabric-nat.md", "docs/receipts.md")]
    openai_vector_store.main(["How do I check a receipt offline?", *files])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("2 of 2 files")
    assert lines[2].startswith("receipts.md (0.")
    with OpenAI() as client:
        assert client.files.list().data == []


def test_an_agents_script_keeps_notes_and_finds_them(
    pop: RunningPop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LITTORAL_KEY", pop.key)
    mcp_client.main([f"{pop.url}/mcp"])
    said = capsys.readouterr().out
    assert "memory_list, memory_search, memory_add, memory_ask" in said
    assert "leaves at seven from pier four" in said
    assert "failed" not in said
    assert "Sources:\n[1] " in said
