"""The first copies of a large collection: passed on by those who get them, and only to where they
may be.
"""

import base64
import json
import random
import subprocess
from array import array
from collections.abc import Iterator
from typing import Any

import pytest

from littoral.web.delivery import DELIVERY
from tests.faults.network import UNAVAILABLE, Host, network
from tests.faults.pops import Fabric, Pop, fabric, until

pytestmark = pytest.mark.skipif(bool(UNAVAILABLE), reason=UNAVAILABLE)

ROWS, DIMENSIONS = 8_000, 384
COPIES = ("near", "next", "last")
LINK_MBIT = 50.0


def done(pop: Pop, path: str, body: object) -> Any:
    status, _, answer = pop.ask("POST", path, body)
    assert status < 300, answer
    return answer


def sent_bytes(host: Host) -> int:
    words = ["ip", "-n", host.namespace, "-s", "-j", "link", "show", "eth0"]
    (link,) = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return int(link["stats64"]["tx"]["bytes"])


def records_of(pop: Pop) -> int:
    status, _, shown = pop.ask("GET", "/v1/memory/large")
    return int(shown["records"]) if status == 200 else 0


def artifacts(pop: Pop) -> list[str]:
    return [row["artifact"] for row in pop.ask("GET", f"{DELIVERY}/store")[2]["artifacts"]]


@pytest.fixture(scope="module")
def pops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """A home, three PoPs at other sites in its zone, and one at another site in another zone."""
    with (
        network("home", *COPIES, "far") as hosts,
        fabric(tmp_path_factory.mktemp("segments"), hosts) as all_pops,
    ):
        home = all_pops.found("home")
        for name in COPIES:
            all_pops.start(name, "join", home.invite(site=name))
        all_pops.start("far", "join", home.invite(site="far", zone="abroad"))
        for name in (*COPIES, "far"):
            all_pops[name].ready()
        all_pops.settled()
        for name in ("home", *COPIES):
            hosts.narrow(name, LINK_MBIT)
        yield all_pops


def test_the_home_sends_a_large_collection_about_once_however_many_copy_it(pops: Fabric) -> None:
    home, chance = pops["home"], random.Random(7)
    zone = home.row(pops["near"])["zone"]
    made = {"name": "large", "vectors": [{"dimensions": DIMENSIONS}], "zone": zone}
    done(home, "/v1/memory", made)
    for first in range(0, ROWS, 1_000):
        records = [
            {"id": f"r{number}", "vectors": {"": packed(chance)}}
            for number in range(first, first + 1_000)
        ]
        done(home, "/v1/memory/large/write", {"writes": [{"type": "upsert", "records": records}]})
    before = sent_bytes(home.host)
    done(home, "/v1/replicas/large", {"sites": [*COPIES, "far"]})
    for name in COPIES:
        until(lambda name=name: records_of(pops[name]) == ROWS, within_s=60.0)  # type: ignore[misc]
    own = ROWS * DIMENSIONS * 4
    assert sent_bytes(home.host) - before < 2.0 * own, "alone it would send three"
    done(home, "/v1/memory/large/write", {"writes": [{"type": "delete", "ids": ["r1", "r2"]}]})
    until(lambda: all(records_of(pops[name]) == ROWS - 2 for name in COPIES))
    assert records_of(pops["far"]) == 0


def test_segments_are_not_given_to_a_pop_of_another_zone_that_asks_for_them(pops: Fabric) -> None:
    far, (artifact,) = pops["far"], artifacts(pops["home"])
    assert artifacts(pops["near"]) == [artifact]
    done(far, f"{DELIVERY}/pulls", {"reference": artifact})
    until(lambda: far.ask("GET", f"{DELIVERY}/pulls")[2]["pulls"][0]["stage"] == "failed")
    assert artifacts(far) == []


def test_segments_go_with_the_offer_that_they_were_made_for(pops: Fabric) -> None:
    done(pops["home"], "/v1/replicas/large", {"withdrawn": True})
    for name in ("home", *COPIES):
        until(lambda name=name: artifacts(pops[name]) == [])  # type: ignore[misc]
    until(lambda: not any(records_of(pops[name]) for name in COPIES))


def packed(chance: random.Random) -> str:
    numbers = array("f", (chance.gauss(0.0, 1.0) for _ in range(DIMENSIONS)))
    return base64.b64encode(numbers.tobytes()).decode()
