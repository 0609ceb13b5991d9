"""What a demo's fleet can be given: the bundle that its boxes run, as the next version."""

from __future__ import annotations

from pathlib import Path

from fleet.releases.drafts import Drafts
from fleet.releases.keys import load_key
from fleet.releases.publisher import Publisher
from fleet.releases.release_builder import Adding, ReleaseNote
from hardware_sim.processes.fleet_folder import FleetHome
from shared.bundles.bundle import Bundle, amend_bundle
from shared.clock import Clock
from shared.releases import ANY_HARDWARE


def publish_next(home: FleetHome, bundle: Bundle, folder: Path, by: str, clock: Clock) -> str:
    """Publish it, and roll it out to nobody; its target path.

    The networks are the same, so that what is promised of them stays, and verdicts do.
    folder   for the bundle; it is not there yet
    by       who has approved it
    Raises BundleError, ReleaseError.
    """
    # Not the next patch: that is what the page of thresholds proposes for a candidate.
    major, minor, _ = (int(part) for part in bundle.manifest.version.split("."))
    later = amend_bundle(bundle, {"version": f"{major}.{minor + 1}.0"}, folder)
    drafts = Drafts(home.store, clock)
    word = ReleaseNote((ANY_HARDWARE,), approved_by=by)
    facts = Adding(drafts, deltas=0).add_model(later, word)
    drafts.sign([load_key(home.keys / "models.pem", None)])
    Publisher(home.store, clock).publish()
    return facts.path
