"""Federated rounds: one of Flower's apps over several grids. Flower stays quiet in all of it."""

from shared.federation.flower_telemetry import keep_flower_quiet

keep_flower_quiet()
