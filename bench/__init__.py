"""One runnable file for each set of promises; `make bench-NAME` runs one. No test imports these."""
