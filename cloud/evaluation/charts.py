"""The report's charts, drawn for light and dark pages, wide and narrow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from cloud.evaluation.rates import LOSS, Point, Rates, tail_alone
from cloud.evaluation.robustness import by_kind
from shared.bundles.robustness import CountedParts, Robustness
from shared.certification.gate import Gate

DPI = 160
BARS = 40
# A zone narrower than this share of the axis has no room for its name.
ROOM = 0.16
# Panels side by side.
PANELS_WIDE, PANELS_NARROW = 4, 2
# Log-odds of the scores drawn: what is surer than 1 in 10,000 lies at the edge.
SUREST = 9.2
TICKS = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)


@dataclass(frozen=True, slots=True)
class ChartStyle:
    """Colours, and how much room there is."""

    ground: str
    text: str
    soft: str
    rule: str
    good: str
    bad: str
    third: str
    narrow: bool


class Panel(NamedTuple):
    """One judge's scores (n,), 0–1, the thresholds on them, and what is done between those."""

    whose: str
    scores: NDArray[np.float64]
    cuts: Sequence[float]
    zones: Sequence[str]


class CurveStyle(NamedTuple):
    """How a curve looks.

    style   matplotlib's short form for marker and stroke
    names   what stands before the step of a point; None leaves points without a name
    """

    name: str
    style: str
    colour: str
    names: str | None


LIGHT = ChartStyle(
    "#ffffff", "#16202c", "#5a6675", "#e2e6eb", "#2f7ed8", "#c2560c", "#14806c", False
)
DARK = ChartStyle(
    "#18202a", "#e7ecf2", "#98a5b5", "#2a3542", "#6aaefc", "#f0a030", "#3fd0b4", False
)


def score_chart(
    edge: NDArray[np.float64],
    cloud: NDArray[np.float64],
    labels: NDArray[np.bool_],
    gate: Gate,
    look: ChartStyle,
) -> bytes:
    """Histograms of the good and the defective by score, with the gate's thresholds; PNG."""
    figure = new_figure(look, (9.6, 3.9), (4.4, 6.4))
    unsure = "escalate" if gate.escalates else "review"
    panels = (
        Panel("edge", edge, (gate.pass_below, gate.reject_from), ("pass", unsure, "reject")),
        Panel("cloud", cloud, (gate.cloud_reject_from,), ("pass", "reject"))
        if gate.cloud_pass_below is None
        else Panel(
            "cloud",
            cloud,
            (gate.cloud_pass_below, gate.cloud_reject_from),
            ("pass", "review", "reject"),
        ),
    )
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(2, 1, number) if look.narrow else figure.add_subplot(1, 2, number)
        style_axes(axes, look)
        _mirrored(axes, panel, labels, look)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=2,
        frameon=False,
        labelcolor=look.text,
    )
    return to_png(figure)


def rate_chart(rates: Rates, look: ChartStyle) -> bytes:
    """Bytes a picture against the cloud's AUROC; PNG."""
    figure = new_figure(look, (9.6, 4.6), (4.4, 5.2))
    axes = figure.add_subplot()
    style_axes(axes, look)
    _curve(axes, rates.ours, CurveStyle("features", "o-", look.good, "×"))
    _curve(axes, tail_alone(rates.ours), CurveStyle("tail alone", "o:", look.good, None))
    if rates.pictures is not None:
        _curve(axes, rates.pictures.jpeg, CurveStyle("JPEG", "s-", look.bad, "q"))
        _curve(axes, rates.pictures.webp, CurveStyle("WebP", "^-", look.third, "q"))
        level = rates.pictures.auroc
        axes.axhspan(level - LOSS, level, color=look.soft, alpha=0.25, linewidth=0)
        axes.axhline(level, color=look.soft, linewidth=1.2, linestyle="--", label="model on pixels")
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(color=look.rule, linewidth=0.8)
    axes.set_xlabel("bytes a picture, median", color=look.soft)
    axes.set_ylabel("AUROC", color=look.soft)
    figure.legend(
        loc="outside upper center",
        ncols=2 if look.narrow else 5,
        frameon=False,
        labelcolor=look.text,
    )
    return to_png(figure)


def robustness_chart(found: Robustness, look: ChartStyle) -> bytes:
    """A panel a kind: escapes and overkill by strength, with their intervals; PNG."""
    kinds = by_kind(found)
    columns = PANELS_NARROW if look.narrow else PANELS_WIDE
    rows = -(-len(kinds) // columns)
    figure = new_figure(look, (9.6, 1.9 * rows + 0.6), (4.4, 1.9 * rows + 0.6))
    first: Axes | None = None
    for number, (kind, conditions) in enumerate(kinds.items(), start=1):
        axes = figure.add_subplot(rows, columns, number, sharey=first)
        first = first or axes
        style_axes(axes, look)
        fates = [found.clean, *(condition.fate for condition in conditions)]
        _banded(axes, [fate.escapes for fate in fates], "escapes", look.bad, "o-")
        _banded(axes, [fate.overkill for fate in fates], "overkill", look.good, "s--")
        axes.set_title(kind, fontsize=10, color=look.text, loc="left")
        axes.set_xticks(range(len(fates)), ["none", *(f"{c.amount:g}" for c in conditions)])
        axes.set_xlabel(conditions[0].unit, color=look.soft, fontsize=8.5)
        axes.set_ylim(-3, 103)
        axes.set_yticks([0, 50, 100], ["0", "50", "100 %"])
        axes.grid(axis="y", color=look.rule, linewidth=0.8)
    if first is not None:
        handles, labels = first.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=2, frameon=False,
            labelcolor=look.text,
        )  # fmt: skip
    return to_png(figure)


def _mirrored(axes: Axes, panel: Panel, labels: NDArray[np.bool_], look: ChartStyle) -> None:
    """The good upwards, the defective downwards; roots of counts, so that one picture shows."""
    odds = _log_odds(panel.scores)
    cuts = _log_odds(np.array(panel.cuts))
    low = float(min(odds.min(), cuts.min())) - 0.6
    high = float(max(odds.max(), cuts.max())) + 0.6
    edges = _bins([low, *cuts.tolist(), high])
    tallest = 1.0
    for of, sign, colour, hatch, name in (
        (~labels, 1, look.good, "", "good"),
        (labels, -1, look.bad, "////", "defective"),
    ):
        heights = np.sqrt(np.histogram(odds[of], edges)[0])
        tallest = max(tallest, float(heights.max()))
        axes.bar(
            edges[:-1],
            sign * heights,
            np.diff(edges),
            align="edge",
            color=colour,
            edgecolor=look.ground,
            hatch=hatch,
            linewidth=0.6,
            label=f"{name}, {int(of.sum()):,} pictures",
        )
    axes.axhline(0, color=look.text, linewidth=0.8)
    axes.set_xlim(low, high)
    axes.set_xlabel(f"the {panel.whose}'s score", color=look.soft)
    axes.set_ylabel("pictures", color=look.soft)
    _count_axis(axes, tallest)
    _score_axis(axes, low, high)
    _zones(axes, panel, cuts.tolist(), look)


def _bins(borders: Sequence[float]) -> NDArray[np.float64]:
    """About BARS bins; none lies across a border, so that no bar has two verdicts."""
    width = (borders[-1] - borders[0]) / BARS
    pieces = [
        np.linspace(start, end, max(1, round((end - start) / width)), endpoint=False)
        for start, end in pairwise(borders)
        if end > start
    ]
    return np.append(np.concatenate(pieces), borders[-1])


def _zones(axes: Axes, panel: Panel, cuts: Sequence[float], look: ChartStyle) -> None:
    """Lines where the gate cuts, with their scores, and between them what it does."""
    low, high = axes.get_xlim()
    for number, (cut, score) in enumerate(zip(cuts, panel.cuts, strict=True)):
        left = number == 0 and len(cuts) > 1
        axes.axvline(cut, color=look.text, linewidth=1.3, linestyle="--")
        axes.annotate(
            f"{score:.3g}",
            (cut, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=8.5,
            color=look.text,
        )
    borders = [low, *cuts, high]
    for does, (start, end) in zip(panel.zones, pairwise(borders), strict=True):
        if does == "escalate":
            axes.axvspan(start, end, color=look.soft, alpha=0.12, linewidth=0)
        if end - start > ROOM * (high - low):
            axes.annotate(
                does,
                ((start + end) / 2, 0.98),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=9,
                color=look.text,
            )


def _score_axis(axes: Axes, low: float, high: float) -> None:
    places = {tick: float(_log_odds(np.array(tick))) for tick in TICKS}
    shown = {tick: place for tick, place in places.items() if low <= place <= high}
    axes.set_xticks(list(shown.values()), [f"{tick:g}" for tick in shown])


def _count_axis(axes: Axes, tallest: float) -> None:
    """Room above for the zones' names, and below for the scores of the cuts."""
    counts = [n for n in (1, 10, 50, 100, 500, 1000, 5000) if n <= tallest**2]
    ticks = [*(-np.sqrt(counts[::-1])), 0.0, *np.sqrt(counts)]
    axes.set_yticks(ticks, [f"{count:,}" for count in (*counts[::-1], 0, *counts)])
    axes.set_ylim(-1.25 * tallest, 1.25 * tallest)


def _curve(axes: Axes, points: Sequence[Point], line: CurveStyle) -> None:
    axes.plot(
        [point.bytes_p50 for point in points],
        [point.auroc for point in points],
        line.style,
        color=line.colour,
        label=line.name,
        linewidth=1.8,
        markersize=6,
    )
    if line.names is None:
        return
    # Neighbouring qualities lie too close together to name each.
    for point in points if line.names == "×" else (points[0], points[-1]):
        axes.annotate(
            f"{line.names}{point.step}",
            (point.bytes_p50, point.auroc),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=line.colour,
        )


def _banded(axes: Axes, shares: list[CountedParts], name: str, colour: str, style: str) -> None:
    rates = 100 * np.array([share.rate for share in shares])
    low, high = (
        100 * np.array([getattr(share, end) for share in shares]) for end in ("low", "high")
    )
    places = np.arange(len(shares))
    axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(places, rates, style, color=colour, label=name, linewidth=1.6, markersize=4)


def _log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.clip(np.nan_to_num(scores, nan=1.0), 1e-6, 1 - 1e-6)
    return np.asarray(np.clip(np.log(kept / (1 - kept)), -SUREST, SUREST))


def new_figure(look: ChartStyle, wide: tuple[float, float], narrow: tuple[float, float]) -> Figure:
    """An empty one of this size, in inches, as the page is `wide` or `narrow`."""
    figure = Figure(
        narrow if look.narrow else wide, dpi=DPI, facecolor=look.ground, layout="constrained"
    )
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, look: ChartStyle) -> None:
    """Its ground, ticks and spines in the look's colours."""
    axes.set_facecolor(look.ground)
    axes.tick_params(colors=look.soft, labelcolor=look.text, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(look.rule)


def to_png(figure: Figure) -> bytes:
    """The whole figure as a PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor=figure.get_facecolor())
    return stream.getvalue()
