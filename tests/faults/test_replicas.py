"""Copies of a collection at other sites: soon up to date, there when the home is gone, and only
where they may be.
"""

import base64
import subprocess
import sys
from array import array
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.network import UNAVAILABLE, network
from tests.faults.pops import Fabric, Pop, fabric, until

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)


def packed(*numbers: float) -> str:
    return base64.b64encode(array("f", numbers).tobytes()).decode()


def post(pop: Pop, path: str, body: object) -> Any:
    status, _, answer = pop.ask("POST", path, body)
    assert status < 300, answer
    return answer


def write(pop: Pop, name: str, *ids: str, number: float = 1.0) -> Any:
    records = [
        {"id": each, "text": f"text of {each}", "vectors": {"": packed(number, 1.0)}}
        for each in ids
    ]
    body = {"writes": [{"type": "upsert", "records": records}]}
    return post(pop, f"/v1/memory/{name}/write", body)


def forget(pop: Pop, name: str, *ids: str) -> Any:
    return post(pop, f"/v1/memory/{name}/write", {"writes": [{"type": "delete", "ids": ids}]})


def found(pop: Pop, name: str) -> list[str]:
    """What a search gives there; nothing where there is no such collection."""
    search = {"query": {"type": "nearest", "vector": packed(1.0, 1.0)}, "limit": 100}
    status, _, answer = pop.ask("POST", f"/v1/memory/{name}/search", search)
    return sorted(hit["record"]["id"] for hit in answer["hits"]) if status == 200 else []


def shown(pop: Pop, name: str) -> Any:
    status, _, answer = pop.ask("GET", f"/v1/memory/{name}")
    return answer if status == 200 else {}


def made(pop: Pop, name: str, **more: object) -> None:
    post(pop, "/v1/memory", {"name": name, "vectors": [{"dimensions": 2}], **more})


@pytest.fixture(scope="module")
def pops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """A home, a PoP at another site in its zone, and one at that site in another zone."""
    with (
        network("home", "near", "far") as hosts,
        fabric(tmp_path_factory.mktemp("replicas"), hosts) as all_pops,
    ):
        home = all_pops.found("home")
        near = all_pops.start("near", "join", home.invite(site="edge"))
        far = all_pops.start("far", "join", home.invite(site="edge", zone="abroad"))
        near.ready()
        far.ready()
        all_pops.settled()
        yield all_pops


def test_a_copy_has_each_change_within_a_second(pops: Fabric) -> None:
    home, near = pops["home"], pops["near"]
    made(home, "docs")
    write(home, "docs", *(f"r{number}" for number in range(200)))
    post(home, "/v1/replicas/docs", {"sites": ["edge"]})
    until(lambda: len(found(near, "docs")) == 100, what="all is copied")
    assert shown(near, "docs")["records"] == 200
    write(home, "docs", "new")
    assert until(lambda: shown(near, "docs")["records"] == 201) < 1.0
    forget(home, "docs", *(f"r{number}" for number in range(150)))
    assert until(lambda: shown(near, "docs")["records"] == 51) < 1.0
    assert found(near, "docs") == found(home, "docs")
    words = [sys.executable, "-m", "littoral.cli", "memory", "replicas", "--home", str(home.inside)]
    said = subprocess.run(home.host.command(*words), capture_output=True, text=True, check=True)
    assert "docs" in said.stdout
    told = shown(near, "docs")
    assert (told["home"], told["driver"]) == (home.id, "replica")
    assert told["stale_s"] < 3.0
    (row,) = home.ask("GET", "/v1/replicas")[2]["offers"]
    until(lambda: len(home.ask("GET", "/v1/replicas")[2]["offers"][0]["followers"]) == 2)
    assert row["name"] == "docs"


def test_a_write_at_a_copy_is_made_at_the_home_and_is_there_when_it_comes_back(
    pops: Fabric,
) -> None:
    home, near = pops["home"], pops["near"]
    made(home, "written")
    post(home, "/v1/replicas/written", {"pops": [near.id]})
    until(lambda: shown(near, "written"))
    write(near, "written", "a", "b")
    assert found(near, "written") == found(home, "written") == ["a", "b"]
    forget(near, "written", "a")
    assert found(near, "written") == ["b"]


def test_a_collection_leaves_its_zone_for_nobody(pops: Fabric) -> None:
    home, near, far = pops["home"], pops["near"], pops["far"]
    zone = home.row(near)["zone"]
    made(home, "kept-here", zone=zone)
    write(home, "kept-here", "a")
    post(home, "/v1/replicas/kept-here", {"sites": ["edge"], "pops": [far.id]})
    until(lambda: found(near, "kept-here") == ["a"])
    assert shown(far, "kept-here") == {}
    made(home, "nowhere", zone="elsewhere")
    post(home, "/v1/replicas/nowhere", {"sites": ["edge"]})
    made(home, "after")
    post(home, "/v1/replicas/after", {"sites": ["edge"]})
    until(lambda: shown(far, "after") and shown(near, "after"))
    assert shown(near, "nowhere") == shown(far, "nowhere") == {}


def test_what_is_withdrawn_or_dropped_is_forgotten_by_those_who_follow(pops: Fabric) -> None:
    home, near = pops["home"], pops["near"]
    for name in ("withdrawn", "dropped"):
        made(home, name)
        post(home, f"/v1/replicas/{name}", {"sites": ["edge"]})
        until(lambda name=name: shown(near, name))  # type: ignore[misc]
    post(home, "/v1/replicas/withdrawn", {"withdrawn": True})
    until(lambda: not shown(near, "withdrawn"))
    assert home.ask("DELETE", "/v1/memory/dropped")[0] == 200
    until(lambda: not shown(near, "dropped"))
    made(home, "dropped")
    write(home, "dropped", "another")
    post(home, "/v1/replicas/dropped", {"sites": ["edge"]})
    until(lambda: found(near, "dropped") == ["another"])


def test_a_copy_answers_while_its_home_is_cut_off_and_catches_up_afterwards(
    pops: Fabric,
) -> None:
    home, near = pops["home"], pops["near"]
    made(home, "cut")
    write(home, "cut", "a")
    post(home, "/v1/replicas/cut", {"pops": [near.id]})
    until(lambda: found(near, "cut") == ["a"])
    with pops.cut(home):
        write(home, "cut", "b")
        assert found(near, "cut") == ["a"]
        until(lambda: shown(near, "cut")["stale_s"] > 3.0)
        records = [{"id": "c", "vectors": {"": packed(1.0, 1.0)}}]
        body = {"writes": [{"type": "upsert", "records": records}]}
        status, _, answer = near.ask("POST", "/v1/memory/cut/write", body)
        assert status == 502, answer
        assert found(near, "cut") == ["a"]
    until(lambda: found(near, "cut") == ["a", "b"], within_s=40.0)


def test_a_copy_answers_after_a_kill_though_its_home_is_gone(pops: Fabric) -> None:
    home, near = pops["home"], pops["near"]
    made(home, "killed")
    write(home, "killed", "a", "b")
    post(home, "/v1/replicas/killed", {"pops": [near.id]})
    until(lambda: found(near, "killed") == ["a", "b"])
    near.kill()
    home.end()
    again = pops.start("near", "up")
    again.ready()
    assert found(again, "killed") == ["a", "b"]
    assert shown(again, "killed")["stale_s"] is None
