"""Ctrl-C at a terminal: what it ends, and what it does not."""

import asyncio
import os
import signal

import pytest

from littoral.cli.terminal import Interrupted, Interrupts


async def pressed(times: int = 1) -> None:
    """Press Ctrl-C, each time after the last was heard."""
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        heard = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, heard.set)  # behind the signal in the loop
        await heard.wait()


async def test_ctrl_c_ends_what_is_going_on() -> None:
    with Interrupts() as interrupts:
        for _ in range(3):
            with pytest.raises(Interrupted):
                async with interrupts.ending():
                    await asyncio.gather(pressed(), asyncio.Event().wait())


async def test_a_second_one_does_not_end_the_prompt_after_it() -> None:
    with Interrupts() as interrupts:
        with pytest.raises(Interrupted):
            async with interrupts.ending():
                await pressed()
        async with interrupts.ending(prompt=True):
            await pressed(2)


async def test_at_a_prompt_it_ends_the_prompt() -> None:
    with Interrupts() as interrupts:
        async with interrupts.ending():
            pass
        with pytest.raises(Interrupted):
            async with interrupts.ending(prompt=True):
                await pressed()


async def test_between_two_pieces_of_work_it_ends_neither() -> None:
    with Interrupts() as interrupts:
        await pressed()
        async with interrupts.ending():
            pass
