"""The fleet as the cloud's plug-in: its settings at once, its code where a configuration names it.

Each start of a cloud reads which settings there are. What serves a fleet takes half a second to
read, which a cloud without one need not wait for.
"""

from __future__ import annotations

from fleet.configuration.settings import FleetSettings
from shared.errors import MissingExtra
from shared.plugins.services import Service, ServiceKind, Surroundings


def open_named(settings: FleetSettings, around: Surroundings) -> Service:
    """Raises MissingExtra where it is not installed, and as `open_fleet`."""
    try:
        from fleet.service import open_fleet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("fleet", error) from error
    return open_fleet(settings, around)


KIND = ServiceKind(FleetSettings, open_named)
