"""The house style as tests: what a reviewer would otherwise have to remember."""
