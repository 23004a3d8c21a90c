"""The command line: one module for each command. It prints; it decides nothing."""
