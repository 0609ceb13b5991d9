"""Runs of a store as rows: what tells them apart, and what came of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import SettingsError
from shared.format import NONE, date, decimal

if TYPE_CHECKING:
    from mlflow.entities import Run

SHORT = 8
DATA = "data."
# With defective parts to learn from, and from good parts alone.
EDGE = ("calibrate_edge_auroc", "painted_edge_auroc", "edge_auroc")
SYSTEM = ("calibrate_cloud_auroc", "painted_cloud_auroc", "tail_auroc")


@dataclass(frozen=True, slots=True)
class RunRow:
    """One training.

    began      UTC seconds
    state      as MLflow says: running, finished, failed, killed
    metrics    at its end; the latest of a curve
    options    what it was trained with, by name
    data       what it was trained on, by name: name, hash, parts, …
    edge_auroc, system_auroc   on the calibrate parts; None before there is one
    kilobytes  a picture that is sent on
    bundle     its id; empty where none was made
    """

    id: str
    name: str
    began: float
    state: str
    options: dict[str, str]
    data: dict[str, str]
    metrics: dict[str, float]
    edge_auroc: float | None
    system_auroc: float | None
    kilobytes: float | None
    bundle: str
    pair: str
    splitsight: str
    revision: str


def row_of(run: Run) -> RunRow:
    parameters, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    return RunRow(
        id=str(run.info.run_id),
        name=str(run.info.run_name or ""),
        began=run.info.start_time / 1000,
        state=run.info.status.lower(),
        options={k: v for k, v in parameters.items() if not k.startswith(DATA)},
        data={k.removeprefix(DATA): v for k, v in parameters.items() if k.startswith(DATA)},
        metrics=dict(metrics),
        edge_auroc=_first(metrics, EDGE),
        system_auroc=_first(metrics, SYSTEM),
        kilobytes=metrics.get("kilobytes") or None,
        bundle=tags.get("bundle", ""),
        pair=tags.get("pair", ""),
        splitsight=tags.get("splitsight", ""),
        revision=tags.get("mlflow.source.git.commit", ""),
    )


def sorted_by(rows: Sequence[RunRow], name: str) -> list[RunRow]:
    """The best first: the lowest of what is better low. Those without the metric come last.

    Raises SettingsError for what no run has.
    """
    known = sorted({"began", "kilobytes", *(metric for row in rows for metric in row.metrics)})
    values = {row.id: _value(row, name) for row in rows}
    if rows and all(value is None for value in values.values()):
        raise SettingsError(f"no run has {name!r} to sort by", fix=f"use one of {', '.join(known)}")
    sign = 1 if name in {"kilobytes", "bits", "loss", "seconds"} else -1
    return sorted(rows, key=lambda r: (values[r.id] is None, sign * (values[r.id] or 0.0)))


def table_of(rows: Sequence[RunRow]) -> list[dict[str, object]]:
    """For people; of the options only what the runs do not have in common."""
    differing = _differing(rows)
    return [
        {
            "run": row.id[:SHORT],
            "when": date(row.began),
            "name": row.name + ("" if row.state == "finished" else f" ({row.state})"),
            "data": f"{row.data.get('name', NONE)} {_version_of(row.data)}",
            "differs": ", ".join(f"{k} {row.options.get(k, NONE)}" for k in differing) or NONE,
            "AUROC edge": decimal(row.edge_auroc),
            "system": decimal(row.system_auroc),
            "kB": NONE if row.kilobytes is None else f"{row.kilobytes:.1f}",
            "bundle": row.bundle or NONE,
        }
        for row in rows
    ]


def _version_of(data: dict[str, str]) -> str:
    """The recorded version, or else a hash of all of it."""
    version, changed, _ = data.get("version", "").partition("-changed")
    return f"{version[:SHORT]}{changed}" if version else data.get("hash", "")[:SHORT]


def facts_of(row: RunRow) -> list[dict[str, object]]:
    """All that is known of one, a line each."""
    own = {
        "run": row.id,
        "name": row.name,
        "when": date(row.began),
        "state": row.state,
        "bundle": row.bundle or NONE,
        "pair": row.pair or NONE,
        "splitsight": f"{row.splitsight} {row.revision}".strip(),
    }
    groups: list[Mapping[str, object]] = [
        own,
        {f"data: {name}": value for name, value in row.data.items()},
        row.options,
        {name: f"{value:.4g}" for name, value in row.metrics.items()},
    ]
    return [{"what": name, "is": value} for group in groups for name, value in group.items()]


def _differing(rows: Sequence[RunRow]) -> list[str]:
    names = {name for row in rows for name in row.options}
    return sorted(name for name in names if len({row.options.get(name) for row in rows}) > 1)


def _value(row: RunRow, name: str) -> float | None:
    own = name in {"began", "edge_auroc", "system_auroc", "kilobytes"}
    found: float | None = getattr(row, name) if own else row.metrics.get(name)
    # Of a training that diverged.
    return None if found is None or math.isnan(found) else found


def _first(metrics: Mapping[str, float], names: Sequence[str]) -> float | None:
    return next((metrics[name] for name in names if name in metrics), None)
