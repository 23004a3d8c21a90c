"""What may be answered again, to whom, for how long, and what makes room for what."""
