"""What `docs/memory-drivers.md` says that each driver can do, is what it says of itself."""

import re
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from littoral.adapters.memory.embedded import open_collections
from littoral.adapters.memory.milvus import MilvusCollections
from littoral.adapters.memory.opening import DRIVERS, open_driver
from littoral.adapters.memory.pgvector import Link, PgvectorCollections
from littoral.adapters.memory.pinecone import opened as pinecone
from littoral.adapters.memory.qdrant import QdrantCollections
from littoral.adapters.memory.weaviate import opened as weaviate
from littoral.terms.collections import Collections
from littoral.terms.errors import ConfigError
from littoral.terms.memory import Ability
from tests.stores import ROOT

PAGE = (ROOT / "docs" / "memory-drivers.md").read_text()


def test_the_table_of_abilities_is_true(tmp_path: Path) -> None:
    drivers: dict[str, Collections] = {
        "embedded": open_collections(tmp_path),
        "pgvector": PgvectorCollections(Link("postgresql://nobody@127.0.0.1/x", "")),
        "milvus": MilvusCollections("http://127.0.0.1:1", ""),
        "qdrant": QdrantCollections(QdrantClient(":memory:"), stand_in=True),
        "pinecone": pinecone("http://127.0.0.1:1", "key"),
        "weaviate": weaviate("http://127.0.0.1:1", ""),
    }
    head = re.search(r"^\| ability \| (.*) \|$", PAGE, re.MULTILINE)
    assert head is not None
    assert tuple(head[1].split(" | ")) == DRIVERS == tuple(drivers)
    said = dict(
        re.findall(r"^\| `(\w+)`[^|]*\| ((?:(?:yes|no) \| ){5}(?:yes|no)) \|$", PAGE, re.MULTILINE)
    )
    assert set(said) == {ability.value for ability in Ability}
    for ability in Ability:
        can = ["yes" if ability in driver.abilities else "no" for driver in drivers.values()]
        assert said[ability.value].split(" | ") == can
    for driver in drivers.values():
        driver.close()


def test_a_driver_is_had_by_its_name_and_its_address(tmp_path: Path) -> None:
    for name in DRIVERS[1:]:
        assert f"| `{name}` |" in PAGE
        with pytest.raises(ConfigError, match="nothing says where"):
            open_driver(name, tmp_path)
    with pytest.raises(ConfigError, match="no driver"):
        open_driver("chroma", tmp_path, address="x")
    opened = open_driver("qdrant", tmp_path, address="http://127.0.0.1:1")
    opened.close()
