"""Short-lived processes: heard to the end, and ended when nobody wants them."""

import sys

import pytest

from littoral.adapters.models.children import run_watched


def python(script: str) -> list[str]:
    return [sys.executable, "-u", "-c", script]


def test_every_line_and_the_status_come_back() -> None:
    lines: list[str] = []
    script = "import sys; print('one'); sys.stderr.write('two\\nthree'); sys.exit(7)"
    assert run_watched(python(script), lines.append, lambda: None) == 7
    assert lines == ["one", "two", "three"]


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    lines: list[str] = []
    run_watched(python("print('x' * 1_000_000, end='')"), lines.append, lambda: None)
    assert sum(map(len, lines)) == 1_000_000
    assert max(map(len, lines)) <= 2 * 64 * 1024


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_silent_process_is_ended_when_the_watcher_stops(
    stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("littoral.adapters.models.children.STOP_WAIT_S", 0.3)
    looks = 0

    def watch() -> None:
        nonlocal looks
        looks += 1
        if lines and looks > 2:
            raise KeyboardInterrupt

    lines: list[str] = []
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN);" if stubborn else ""
    script = f"import signal, threading; {deaf} print('up'); threading.Event().wait(60)"
    with pytest.raises(KeyboardInterrupt):
        run_watched(python(script), lines.append, watch)
    assert lines[0] == "up"
