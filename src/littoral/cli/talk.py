"""The PoP that a command asks: the one that runs on the home, or one that is started for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from littoral.adapters.models import bring_in
from littoral.cli.progress import progress_shown
from littoral.cli.show import Show
from littoral.node.asking import PopClient, client_of
from littoral.node.config import Config
from littoral.node.entries import is_pipeline
from littoral.node.home import Home
from littoral.node.pop import running_pop
from littoral.terms.ids import ModelName

__all__ = ["pop_client"]


@asynccontextmanager
async def pop_client(config: Config, model: str, show: Show) -> AsyncIterator[PopClient]:
    """A client of the PoP that runs on this home; one is started for the while if none does."""
    running = Home(config.home).running()
    if running is not None:
        async with client_of(running) as client:
            yield client
        return
    show.note("no PoP runs on this home; starting one for this command (`littoral up` keeps one)")
    models = () if is_pipeline(ModelName(model)) else (model,)  # its steps say which they need
    async with running_pop(replace(config, port=0, models=models)) as pop:
        with progress_shown(show) as progress:
            await asyncio.to_thread(bring_in, pop.catalogue, models, progress)
        async with client_of(pop.announced) as client:
            yield client
