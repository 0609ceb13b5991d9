"""A fleet's folder made from nothing: who devices believe, where releases lie, and who signs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fleet.identity.authority import Authority
from fleet.releases.creation import found_repository
from fleet.releases.store import ReleaseStore
from shared.clock import Clock
from shared.loopback import free_port

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class FleetHome:
    """What was made.

    folder  the fleet's own; `store` keeps its releases
    keys    of the people who sign
    ca      whom devices believe; root: the first trusted root of the releases
    """

    folder: Path
    store: ReleaseStore
    keys: Path
    ca: Path
    root: Path
    gateway_port: int

    @classmethod
    def found(cls, folder: Path, clock: Clock) -> Self:
        """In a folder that has none yet. Raises what making a fleet raises."""
        home, keys = folder / "fleet", folder / "keys"
        authority = Authority.create(home, [HOST], clock)
        store = ReleaseStore(home)
        found_repository(store, keys, clock)
        root = store.metadata / "1.root.json"
        return cls(home, store, keys, authority.files.certificate, root, free_port())

    @property
    def service(self) -> dict[str, Any]:
        """For cloud.yaml."""
        return {
            "fleet": {
                "folder": str(self.folder),
                "gateway": {"host": HOST, "port": self.gateway_port},
            }
        }

    def updates(self, folder: Path) -> dict[str, Any]:
        """For edge.yaml. folder: the box's own, for slots and what is under way"""
        return {
            "folder": str(folder),
            "root": str(self.root.resolve()),
            "server": f"https://{HOST}:{self.gateway_port}/releases",
            "ca": str(self.ca.resolve()),
            "reserve_bytes": 0,
        }
