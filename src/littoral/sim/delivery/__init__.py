"""Simulated delivery: real pulls, in a network whose links are described."""
