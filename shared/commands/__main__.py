"""`python -m shared` is the command `splitsight`."""

from shared.commands.root import main

main()
