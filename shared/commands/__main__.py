"""`python -m shared.commands` is the command `splitsight`."""

from shared.commands.root import main

main()
