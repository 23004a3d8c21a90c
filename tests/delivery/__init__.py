"""Delivery: chunks, manifests and pulls, as values."""
