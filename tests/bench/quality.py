"""How good the shipped bundle is on ELPV's test cells."""

from __future__ import annotations

from pathlib import Path

from cloud.datasets.readers import read
from cloud.evaluation.judgements import judge
from cloud.evaluation.scoring import score
from shared.bundles.bundle import Bundle


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """One row a judge."""
    del folder
    bundle, cells = Bundle.open(bundle_path), read("elpv").of("test")
    found = score(bundle, cells, "test", judge(bundle, cells).seen_by(bundle.novelty))
    rows: list[dict[str, object]] = [
        {
            "judge": name,
            "auroc": judge.auroc,
            "accuracy": judge.accuracy,
            "escapes": "",
            "overkill": "",
        }
        for name, judge in (("edge", found.edge), ("cloud", found.cloud))
    ]
    system = found.system
    rows.append(
        {
            "judge": f"system ({system.escalation_rate:.0%} escalated)",
            "auroc": "",
            "accuracy": system.accuracy,
            "escapes": system.escape_rate,
            "overkill": system.overkill_rate,
        }
    )
    return rows
