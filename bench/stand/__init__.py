"""What benches stand on: a PoP and its rivals as processes, a client with a clock, the report."""
