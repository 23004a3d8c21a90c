"""Where a request goes: health of targets, the choice among them, and what follows a failure."""
