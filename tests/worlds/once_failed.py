"""Seeds of worlds in which something did not hold once, and what it was.

A seed stands for a world as long as what is drawn for it stays the same: a change of the simulation
makes another world of it. What a seed found in the cores has a test of its own there, too.
"""

ONCE_FAILED: dict[int, str] = {
    1712: "the simulation charged a PoP's limit within the exchange, which shut out everybody",
}
