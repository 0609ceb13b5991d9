"""200 light devices and a model that is good, crashes, is slow or blind: what the site suffers."""

from __future__ import annotations

from pathlib import Path

from hardware_sim.scale.rollout.behaviour import Behaviour
from hardware_sim.scale.rollout.trial import RolloutOptions, RolloutTrial

DEVICES = 200
# The last two get past their first devices: the one that crashes is taken back from one that kept
# it, and nobody has looked at what the blind one finds before it decides parts.
TRIALS: tuple[tuple[Behaviour, int, int], ...] = (
    ("crashing", 0, 20),
    ("slow", 0, 20),
    ("blind", 0, 20),
    ("crashing", 1, 20),
    ("blind", 1, 0),
    ("good", 0, 20),
)


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """A row a release. Takes about fifteen minutes."""
    rows: list[dict[str, object]] = []
    for number, (release, spared, shadow_parts) in enumerate(TRIALS):
        place = folder / f"{number}"
        place.mkdir()
        options = RolloutOptions(
            bundle=bundle_path,
            devices=DEVICES,
            release=release,
            spared=spared,
            shadow_parts=shadow_parts,
            health_s=40.0 if not shadow_parts else 10.0,
        )
        trial = RolloutTrial(options, place)
        try:
            report = trial.run(lambda: None)
        finally:
            trial.runner.stop()
        rows.append(
            {
                "release": release,
                "spared": spared,
                "shadow_parts": shadow_parts,
                "state": report.state,
                "stopped_at_share": report.stopped_at_share,
                "live_share": report.live_share,
                "back_on_old_s": report.back_on_old_s,
                "reached_share": report.reached_share,
                "gap_s": report.gap_s,
                "minutes": report.minutes,
                "broken": "; ".join(report.broken) or "none",
            }
        )
    return rows
