"""A PoP that nobody can dial gives what it has, over connections that it holds to the others."""

from pathlib import Path
from typing import Any

from littoral.web.delivery import DELIVERY
from tests.conftest import started_pop
from tests.e2e.deliveries import (
    MOVER,
    begin,
    bytes_of,
    ended,
    pops,
    pull,
    sees_whole,
    web_server,
    weights,
)
from tests.e2e.sides import FREE, Side, until


def test_who_can_not_be_dialled_gives_what_it_has_all_the_same(tmp_path: Path) -> None:
    with web_server({}) as web, pops(tmp_path, "paris") as (first,):
        web.files["one.safetensors"] = content = weights(71, count=4)
        ticket = first.cli("invite", "--site", "attic")["ticket"]
        home = tmp_path / "hidden"
        options = (*FREE, *MOVER, "--fabric-dials-out")
        with started_pop(home, *options, models="", joins=ticket) as running:
            hidden = Side(running, home, running.key)
            until(lambda: hidden.sees("here", "direct"))
            came = pull(hidden, f"{web.url}/one.safetensors")
            until(lambda: sees_whole(first, came["artifact"]))
            again = pull(first, f"{web.url}/one.safetensors")
            assert again["neighbour_bytes"] == again["size_bytes"] == len(content)
            assert bytes_of(first, again["artifact"]) == [content]


def test_who_can_not_be_dialled_passes_on_what_it_reads(tmp_path: Path) -> None:
    with web_server({}) as web, pops(tmp_path, "paris") as (first,):
        web.files["one.safetensors"] = content = weights(72, count=32)
        web.tap.bytes_per_s = 10e6
        ticket = first.cli("invite", "--site", "paris")["ticket"]
        home = tmp_path / "hidden"
        options = (*FREE, *MOVER, "--fabric-dials-out")
        with started_pop(home, *options, models="", joins=ticket) as running:
            hidden = Side(running, home, running.key)
            hidden.get(f"{DELIVERY}/store")
            until(lambda: hidden.sees("here", "direct") and first.sees("here", "relayed"))
            reference = f"{web.url}/one.safetensors"
            for side in (first, hidden):
                begin(side, reference)
            for side in (first, hidden):
                came = ended(side, reference)
                assert came["neighbour_bytes"] > 0.2 * len(content), "each has read a part for both"
            assert web.tap.out_bytes < 1.1 * len(content)
            for side in (first, hidden):
                until(lambda: all(row["bytes_per_s"] for row in others(side)))  # noqa: B023
            web.files["two.safetensors"] = weights(73, count=32)
            plan = first.cli("pull", f"{web.url}/two.safetensors", "--plan")
            assert plan["estimated_s"] > 1, "half of it came in a second and a half"


def others(side: Side) -> list[dict[str, Any]]:
    """Rows of the PoPs that this one sees, besides its own."""
    return [row for row in side.cli("pops")["pops"] if row["reach"] != "here"]
