"""A run as one picture: faults over verdicts, latency, what waits, bytes and temperature."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from hardware_sim.scenario.records import RecordedParts
from hardware_sim.scenario.run import DeviceSnapshot, Observed

# (what it is called, marker, colour): shapes differ, so that colours are not the only signal.
CELLS = {
    "right_pass": ("right pass", "|", "#7a8b99"),
    "right_reject": ("right reject", "v", "#1f6fb2"),
    "escape": ("escape", "X", "#c62828"),
    "overkill": ("overkill", "s", "#d98e04"),
    "reviewed": ("to review", "D", "#8b5cf6"),
    "no_verdict": ("no verdict", "o", "#000000"),
    "wrong_part": ("wrong part", "P", "#7b1fa2"),
}
FAULT = "#c6282822"
LINES = ("-", "--", ":", "-.")


def chart(observed: Observed, found: RecordedParts) -> str:
    """The picture as SVG text."""
    warm = any(look.temperature_c is not None for look in observed.looks)
    rows = 5 if warm else 4
    figure = Figure(figsize=(11, 2.0 * rows), layout="constrained")
    FigureCanvasSVG(figure)
    axes: list[Axes] = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    _verdicts(axes[0], observed)
    _latency(axes[1], observed, found)
    _by_device(axes[2], observed, "inspections that wait", lambda look: look.waiting)
    _rates(axes[3], observed)
    if warm:
        _by_device(axes[4], observed, "chip, °C", lambda look: look.temperature_c)
    for axis in axes:
        _faults(axis, observed)
    _name_faults(axes[0], observed)
    axes[-1].set_xlabel("seconds")
    stream = io.StringIO()
    figure.savefig(stream, format="svg")
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _verdicts(axis: Axes, observed: Observed) -> None:
    names = list(observed.passed)
    for cell, (label, marker, colour) in CELLS.items():
        points = [
            (part.at - observed.started, row)
            for row, name in enumerate(names)
            for part in observed.passed[name]
            if part.cell == cell
        ]
        if points:
            xs, ys = zip(*points, strict=True)
            axis.scatter(xs, ys, s=22, marker=marker, c=colour, label=label, linewidths=1)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.6, len(names) - 0.4)
    if any(observed.passed.values()):
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)


def _latency(axis: Axes, observed: Observed, found: RecordedParts) -> None:
    for name, parts in observed.passed.items():
        points = [
            (part.at - observed.started, found.by_part[name, part.part])
            for part in parts
            if (name, part.part) in found.by_part
        ]
        if points:
            xs, ys = zip(*points, strict=True)
            axis.scatter(xs, ys, s=6, label=name)
    axis.set_ylabel("trigger to\nverdict, ms")


def _by_device(
    axis: Axes, observed: Observed, label: str, value: Callable[[DeviceSnapshot], float | None]
) -> None:
    for name, style in zip(observed.passed, LINES * len(observed.passed), strict=False):
        looks = [look for look in observed.looks if look.device == name]
        axis.plot(
            [look.at for look in looks],
            [math.nan if (at := value(look)) is None else at for look in looks],
            style,
            label=name,
        )
    axis.set_ylabel(label)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)


def _rates(axis: Axes, observed: Observed) -> None:
    for name, style in zip(observed.passed, LINES * len(observed.passed), strict=False):
        looks = [look for look in observed.looks if look.device == name]
        axis.plot(
            [later.at for _, later in pairwise(looks)],
            [_rate(earlier, later) for earlier, later in pairwise(looks)],
            style,
            label=name,
        )
    axis.set_ylabel("sent, kB/s")


def _rate(earlier: DeviceSnapshot, later: DeviceSnapshot) -> float:
    seconds = max(later.at - earlier.at, 1e-3)
    return (later.bytes_up - earlier.bytes_up) / seconds / 1000


def spans(observed: Observed) -> list[tuple[float, float, str]]:
    """Faults as (from, to, what); what ended by itself has no width."""
    found: list[tuple[float, float, str]] = []
    open_since: dict[tuple[str, str], list[float]] = {}
    for happened in observed.happened:
        key = happened.what, happened.device
        if happened.began:
            open_since.setdefault(key, []).append(happened.at)
        elif open_since.get(key):
            found.append((open_since[key].pop(0), happened.at, _named(*key)))
    found += [(at, at, _named(*key)) for key, starts in open_since.items() for at in starts]
    return sorted(found)


def _named(what: str, device: str) -> str:
    return what.replace("_", " ") + (f", {device}" if device else "")


def _faults(axis: Axes, observed: Observed) -> None:
    for start, end, _ in spans(observed):
        axis.axvspan(start, max(end, start + 0.1), color=FAULT, linewidth=0)
    axis.spines[["top", "right"]].set_visible(False)


def _name_faults(axis: Axes, observed: Observed) -> None:
    for start, _, what in spans(observed):
        axis.annotate(
            what, (start, 1.0), xycoords=("data", "axes fraction"), fontsize=8, va="bottom"
        )
