"""`python -m shared` is the command `splitsight`."""

from shared.cli import main

main()
