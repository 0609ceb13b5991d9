"""What edge, cloud and fleet have in common. Importing any of it keeps other libraries quiet."""

from shared.telemetry import keep_quiet

keep_quiet()
