"""What a device learns with during a federated round. Flower stays quiet in whatever is here."""

from shared.federation.flower_telemetry import keep_flower_quiet

keep_flower_quiet()
