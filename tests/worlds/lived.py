"""Runs one world, and says how to run it again if something did not hold."""

from littoral.sim.world.identity import Keys
from littoral.sim.world.world import Ended, World

__all__ = ["lived"]


def lived(seed: int, keys: Keys | None = None) -> Ended:
    """The world of this seed, from its beginning to its end.

    Raises:
        AssertionError: something did not hold; its text has the end of the story.
    """
    world = World(seed, keys)
    try:
        return world.run()
    except Exception as error:
        story = "\n".join(world.story.tail)
        raise AssertionError(
            f"in the world of seed {seed}: {str(error) or type(error).__name__}\n"
            f"its story ends:\n{story}\n\n"
            f"run it alone: .venv/bin/python -m tests.worlds {seed}"
        ) from error
