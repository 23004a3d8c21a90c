"""`python -m littoral.cli` is `littoral`."""

from littoral.cli.main import main

main()
