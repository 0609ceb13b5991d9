"""A fleet's folder made from nothing: authority, repository, and two releases of one model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuf.api.metadata import TargetFile, Targets

from edge.updates.base import Label
from fleet.releases.drafts import Drafts
from fleet.releases.keys import load_key
from fleet.releases.publisher import Publisher
from fleet.releases.release_builder import Adding, ReleaseNote
from fleet.releases.roles import MODELS
from hardware_sim.processes.fleet_folder import FleetHome
from shared.bundles.bundle import Bundle, amend_bundle
from shared.clock import Clock
from shared.releases import ANY_HARDWARE, ReleaseFacts


@dataclass(frozen=True, slots=True)
class FleetSite:
    """What was made.

    base      the payload that every device runs at first, and what its slot says of it
    old, new  the releases
    """

    home: FleetHome
    base: Path
    label: Label
    old: ReleaseFacts
    new: ReleaseFacts


def make_site(folder: Path, bundle: Bundle, clock: Clock) -> FleetSite:
    """Raises what making and signing releases raises."""
    home = FleetHome.found(folder, clock)
    store = home.store
    drafts = Drafts(store, clock)
    adding, word = Adding(drafts), ReleaseNote((ANY_HARDWARE,), approved_by="the simulator")
    old = adding.add_model(bundle, word, without_tail=True)
    version = _next(bundle.manifest.version)
    newer = amend_bundle(bundle, {"version": version}, folder / "newer")
    new = adding.add_model(newer, word, without_tail=True)
    drafts.sign([load_key(home.keys / f"{MODELS}.pem")])
    # The cloud serves the pair from its configuration, so the payloads need no tail.
    Publisher(store, clock).publish([bundle.manifest.pair])
    target = store.published(MODELS, Targets).signed.targets[old.path]
    return FleetSite(home, store.payload(target), _label(old, target), old, new)


def _label(facts: ReleaseFacts, target: TargetFile) -> Label:
    return Label(
        path=facts.path,
        length=target.length,
        sha256=target.hashes["sha256"],
        counter=facts.counter,
        name=facts.name,
        version=facts.version,
        pair=facts.pair,
        bundle=facts.bundle,
    )


def _next(version: str) -> str:
    *before, last = version.split(".")
    return ".".join([*before, str(int(last) + 1)])
