"""Drivers of collections: the embedded one, and those that ask servers elsewhere."""
