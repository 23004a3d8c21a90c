"""This PoP in the fabric: who is let in, who the others are, what it says, whom it asks."""
