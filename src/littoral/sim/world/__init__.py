"""Worlds of several PoPs, made from a seed: the real cores on a virtual clock, and checked."""
