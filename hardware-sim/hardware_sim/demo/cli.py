"""`splitsight demo`, and `splitsight sim demo`."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Self

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from hardware_sim.demo.demo import POLL_S, Demo, DemoOptions
from hardware_sim.demo.people import ROLES
from hardware_sim.demo.summary import DemoSummary
from hardware_sim.processes.session import SHIPPED_BUNDLE, StopSignal, work_folder
from shared import command_options as option
from shared.certification.certificate import interval
from shared.console import err, out, print_json


def demo(
    parts: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="End after so many parts.")
    ] = None,
    bundle: option.Bundle = SHIPPED_BUNDLE,
    rate: Annotated[
        float, typer.Option("--parts-per-second", min=0.1, max=1000, help="Of a device.")
    ] = 12.0,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the cloud's pages.")] = 8765,
    broker_port: Annotated[int, typer.Option(min=1, max=65535, help="Of the broker.")] = 18830,
    runtime: option.Runtime = "auto",
    keep: option.Keep = None,
    format_: option.Format = "text",
) -> None:
    """Local: inspect real solar cells with three boxes, a broker and the cloud on this machine."""
    stop = StopSignal()
    with work_folder(keep) as folder:
        options = DemoOptions(bundle, parts, rate, port, broker_port, runtime)
        running = Demo(options, folder)
        try:
            running.start()
            err.print(f"live page: [bold]{running.url}[/]  (Ctrl-C ends)", highlight=False)
            if running.people is not None:
                for name, password in running.people.passwords.items():
                    told = f"sign in as [bold]{name}[/], {ROLES[name]}: [bold]{password}[/]"
                    err.print(told, highlight=False)
            _watch(running, stop, live=format_ == "text" and err.is_terminal)
        finally:
            running.stop()
        summary = running.summarise()
        if format_ == "json":
            print_json(summary)
        else:
            out.print(described(summary))


def _watch(running: Demo, stop: StopSignal, *, live: bool) -> None:
    told = 0
    with Live(console=err, refresh_per_second=4, transient=True) if live else Quiet() as screen:
        while not stop.given and not running.finished:
            running.tend()
            for notice in running.notices[told:]:
                err.print(f"[yellow]![/] {notice}", highlight=False)
            told = len(running.notices)
            if live:
                screen.update(_picture(running))
            stop.wait(POLL_S)


class Quiet:
    """Stands in for the live table where nobody watches."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, _picture: RenderableType) -> None:
        """Show nothing."""


def _picture(running: Demo) -> RenderableType:
    status = running.status()
    if status is None:
        return "waiting for the cloud"
    table = Table(title=f"splitsight demo · {running.url}", title_justify="left")
    for column in ("device", "state", "inspected", "waiting"):
        table.add_column(column)
    for device in status["devices"]:
        table.add_row(
            *(str(device.get(key, "")) for key in ("device", "state", "inspected", "waiting"))
        )
    return Group(table, _totals(status["summary"]))


def _totals(summary: dict[str, Any]) -> str:
    decided = summary.get("by_decider", {})
    inspected = max(1, summary.get("inspected", 0))
    return (
        f"{summary.get('inspected', 0)} parts: {summary.get('passed', 0)} pass, "
        f"{summary.get('rejected', 0)} reject, {summary.get('in_review', 0)} review · decided by "
        + ", ".join(f"{who} {count}" for who, count in decided.items())
        + f" · {summary.get('escalated_bytes', 0) / inspected:.0f} B a part sent up"
    )


def _beside(
    values: dict[str, Any], count: str, promise: dict[str, float] | None, share: str
) -> str:
    """A count, and what was promised of it."""
    parts = values["defects"] if count == "escapes" else values["parts"] - values["defects"]
    kind = "defective" if count == "escapes" else "good"
    told = f"{values.pop(count)} of {parts} {kind} parts"
    if promise is None:
        return told
    return f"{told}; promised: {promise[share]:.0%} at most, confidence {promise['confidence']:.0%}"


def described(summary: DemoSummary) -> Table:
    """The summary as a table for people."""
    table = Table(title="what the demo came to", title_justify="left", show_header=False)
    values = msgspec.to_builtins(summary)
    verdicts, latency = values.pop("verdicts"), values.pop("latency_ms")
    promise, ends = values.pop("promise"), Counter[str]()
    for counts in verdicts.values():
        ends.update(counts)
    late = verdicts["deadline"]["reject"]
    table.add_row("passed", str(ends["pass"]))
    table.add_row("rejected", str(ends["reject"] - late))
    reviewed = values.pop("reviewed")
    low, high = interval(reviewed, max(1, summary.parts), 0.05)
    told = f"{reviewed} of {summary.parts} parts ({low:.0%} to {high:.0%})"
    table.add_row("to review", f"{told}, {late} of them diverted by a deadline")
    table.add_row("escapes among passed", _beside(values, "escapes", promise, "escape"))
    table.add_row("good parts rejected", _beside(values, "overkill", promise, "false_reject"))
    for who, counts in verdicts.items():
        told = f"{counts['pass']} pass, {counts['reject']} reject, {counts['review']} review"
        table.add_row(f"decided by {who}", told)
    for key, value in {**values, **{f"latency {k} (ms)": v for k, v in latency.items()}}.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(key.replace("_", " "), shown)
    return table
