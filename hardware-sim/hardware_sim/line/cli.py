"""`splitsight sim line`."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer
from rich.table import Table

from hardware_sim.line.drawing.sheet import write_sheet
from hardware_sim.line.line import Settled
from hardware_sim.line.run import LineReport, LineRun, LineRunSettings, part_source
from shared import command_options as option
from shared.clock import SystemClock
from shared.console import err, out, print_json, track
from shared.errors import SettingsError
from shared.settings import load_settings, validate

MAX_PORT = 65_535


def line(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file of settings; options override it."),
    ] = None,
    surface: Annotated[str | None, typer.Option(help="metal, circuit or cloth.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Pictures; replays what training reads, such as elpv.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which of them; train, calibrate or test; default: all.")
    ] = None,
    side: Annotated[int | None, typer.Option(help="Of the square picture, px.")] = None,
    speed: Annotated[float | None, typer.Option(help="Of the belt, m/s.")] = None,
    pitch: Annotated[float | None, typer.Option(help="From part to part, m.")] = None,
    jitter: Annotated[float | None, typer.Option(help="Of the pitch, m.")] = None,
    trigger_at: Annotated[float | None, typer.Option(help="The sensor's position, m.")] = None,
    camera_at: Annotated[float | None, typer.Option(help="The camera's position, m.")] = None,
    ejector_at: Annotated[float | None, typer.Option(help="The ejector's position, m.")] = None,
    rate: Annotated[float | None, typer.Option(help="Share of defective parts, 0 to 1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice.")] = None,
    parts: Annotated[int | None, typer.Option(help="End after so many parts.")] = None,
    first_part: Annotated[int | None, typer.Option(help="Number of the first part.")] = None,
    socket: Annotated[
        Path | None, typer.Option(help="Serve frames to `camera.kind: line`, and take controls.")
    ] = None,
    rtsp: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a stream of the camera, for `camera.kind: rtsp`."),
    ] = None,
    await_camera: Annotated[
        bool, typer.Option("--await-camera", help="Start the belt when a box watches.")
    ] = False,
    broker: Annotated[
        str | None, typer.Option(help="HOST:PORT where `actuator.kind: mqtt` publishes.")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="As in actuator.topic.")] = None,
    outcomes: Annotated[
        Path | None, typer.Option(help="Write one JSON line a part to this file.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Only draw the first 24 parts, outlined, to this file.")
    ] = None,
    format_: option.Format = "text",
) -> None:
    """Local: run a simulated line in real time; print what became of its parts at the end."""
    given = {
        ("drawing", "surface"): surface,
        ("drawing", "height"): side,
        ("drawing", "width"): side,
        ("drawing", "defects", "rate"): None if rate is None else _constant(rate),
        ("line", "speed"): speed,
        ("line", "pitch"): pitch,
        ("line", "jitter"): jitter,
        ("line", "trigger_at"): trigger_at,
        ("line", "camera_at"): camera_at,
        ("line", "ejector_at"): ejector_at,
        ("commands", "topic"): topic,
        ("commands", "broker"): None if broker is None else _broker(broker),
        ("data",): data,
        ("split",): split,
        ("seed",): seed,
        ("parts",): parts,
        ("first_part",): first_part,
    }
    if data is not None and (surface, side, rate) != (None, None, None):
        raise SettingsError(
            "--surface, --side and --rate are about drawn parts; --data brings its own",
            fix="leave out one or the other",
        )
    if split is not None and data is None and config is None:
        raise SettingsError("--split is about a data set", fix="add --data, or leave it out")
    settings = _settings(config, given)
    if sheet is not None:
        write_sheet(part_source(settings), sheet, rate)
        err.print(f"the first parts are in {sheet}", highlight=False)
        return
    if await_camera and socket is None and rtsp is None:
        raise SettingsError(
            "--await-camera without a socket waits for ever", fix="add --socket or --rtsp"
        )
    shown_at = None if rtsp is None else _address(rtsp, "--rtsp")
    run = LineRun(settings, SystemClock(), socket=socket, rtsp=shown_at)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: run.stop())
    with _written(outcomes) as file:
        for settled in _shown(run.settled(await_camera=await_camera), settings.parts):
            if file is not None:
                file.write(msgspec.json.encode(outcome_row(settled)) + b"\n")
    if format_ == "json":
        print_json(run.report())
    else:
        out.print(described(run.report()))


def outcome_row(settled: Settled) -> dict[str, object]:
    """One part for a program; `at` in seconds on the monotonic clock."""
    outcome = settled.outcome
    return {
        "part": outcome.passage.part,
        "at": outcome.passage.at,
        "triggered": outcome.passage.triggered,
        "defect": settled.defect,
        "severity": settled.severity,
        "verdict": outcome.verdict,
        "diverted": outcome.diverted,
        "cell": outcome.cell,
    }


def described(report: LineReport) -> Table:
    """The truth table for people."""
    values = msgspec.to_builtins(report)
    counts = values.pop("table")
    title = f"what passed the ejector in {values.pop('seconds'):.1f} s"
    table = Table(title=title, title_justify="left", show_header=False)
    for key, value in {**counts, **values}.items():
        table.add_row(key.replace("_ms", " (ms)").replace("_", " "), str(value))
    return table


def _settings(config: Path | None, given: dict[tuple[str, ...], Any]) -> LineRunSettings:
    """The file's settings with the options that were given laid over them."""
    values: dict[str, Any] = {}
    if config is not None:
        values = load_settings(config, LineRunSettings).model_dump(exclude_unset=True)
    for path, value in given.items():
        if value is None:
            continue
        inner = values
        for step in path[:-1]:
            if not isinstance(inner.get(step), dict):
                inner[step] = {}
            inner = inner[step]
        inner[path[-1]] = value
    return validate(values, LineRunSettings, "the options")


def _constant(value: float) -> dict[str, object]:
    return {"kind": "constant", "value": value}


def _broker(address: str) -> dict[str, object]:
    host, port = _address(address, "--broker")
    return {"host": host, "port": port}


def _address(text: str, option: str) -> tuple[str, int]:
    """Raises SettingsError for what is not HOST:PORT."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > MAX_PORT:
        raise SettingsError(
            f"{option} is {text!r}", fix=f"give HOST:PORT, as 127.0.0.1:1883, up to {MAX_PORT}"
        )
    return host, int(port)


def _shown(settled: Iterable[Settled], parts: int | None) -> Iterable[Settled]:
    """With a progress bar where the end is known."""
    return settled if parts is None else track(settled, "parts", total=parts)


@contextlib.contextmanager
def _written(path: Path | None) -> Iterator[IO[bytes] | None]:
    """The file opened for writing, line by line as parts leave. Raises SettingsError."""
    if path is None:
        yield None
        return
    try:
        # Without a buffer: whoever follows the run sees each part as it leaves.
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise SettingsError(
            f"{path} can't be written ({error.strerror or error})",
            fix="give --outcomes a file in a folder that is there",
        ) from error
    with file:
        yield file
