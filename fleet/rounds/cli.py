"""`splitsight fleet federate`: rounds of training in which weights travel and pictures stay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from shared import command_options as option
from shared.console import Format, err, out, print_json, print_table, print_text
from shared.errors import SettingsError

if TYPE_CHECKING:
    from fleet.rounds.coordination.coordinator import RunPlan
    from fleet.rounds.report.findings import PossibleParticipant, RoundRecord, RunFindings

GridKind = Literal["mqtt", "in-process", "superlink"]


def federate(
    config: option.Config,
    rounds: Annotated[int, typer.Option(min=1, help="In all; a run that stopped goes on.")] = 10,
    strategy: Annotated[
        str,
        typer.Option(
            help="Until the next release: `strategy: {kind: …}` of --config.", hidden=True
        ),
    ] = "",
    grid: Annotated[
        GridKind | None, typer.Option(help="How devices are reached; mqtt where both are set up.")
    ] = None,
    seed: option.Seed = 0,
    dry_run: option.DryRun = False,
    write_app: Annotated[
        Path | None,
        typer.Option(help="With --grid superlink: a folder for `flwr run`, and no rounds here."),
    ] = None,
    format_: option.Format = "text",
) -> None:
    """Network: train on devices' own labels, round by round. Only weights leave a device.

    --config says what is trained, how, and by when; --dry-run, who would take part.
    """
    with option.needs_extra("learn"):
        from fleet.rounds.configuration.settings import load_round_settings  # noqa: PLC0415
        from fleet.rounds.coordination.coordinator import RunPlan  # noqa: PLC0415
        from fleet.rounds.run import open_run, run_rounds  # noqa: PLC0415

    settings, plan = load_round_settings(config, strategy), RunPlan(rounds, seed)
    if grid == "superlink" or write_app is not None:
        _write_app(write_app, config, grid, plan, strategy)
        return
    with open_run(settings, plan, grid, _print_round) as coordinator:
        if dry_run:
            _print_participants(coordinator.possible_participants(), format_)
            return
        result, findings = run_rounds(coordinator)
        candidate = findings if settings.release is not None else None
        if format_ == "json":
            from fleet.rounds.report.findings import RunReport  # noqa: PLC0415 - numpy

            print_json(RunReport(findings.run, findings.rounds, candidate))
            return
        _print_history(findings.rounds)
        out.print(f"the network and the report are in {result.folder}")
        if candidate is not None:
            _print_candidate(candidate)


def _write_app(
    folder: Path | None, config: Path, grid: GridKind | None, plan: RunPlan, strategy: str
) -> None:
    from fleet.rounds.superlink import write_app  # noqa: PLC0415

    if folder is None or grid != "superlink":
        raise SettingsError(
            "Flower's own engine runs apps by itself: --grid superlink and --write-app go together",
            fix="splitsight fleet federate --config FILE --grid superlink --write-app DIR",
        )
    write_app(folder, config, plan, strategy)
    out.print(f"flwr run {folder} runs {plan.rounds} rounds", highlight=False)


def _print_round(record: RoundRecord, _values: object) -> None:
    """A line a round on standard error."""
    loss = f"loss {record.loss:.4f}" if record.took_part else record.reason
    spent = "" if record.epsilon is None else f"ε {record.epsilon:.3g}, "
    err.print(
        f"round {record.round} {record.outcome}: {len(record.took_part)} devices, {loss}, "
        f"{spent}{record.seconds:.1f} s",
        highlight=False,
    )
    if record.seen:
        err.print(f"  {record.seen}", highlight=False)
    for one in record.aside:
        err.print(f"  without {one.device}: {one.reason}", highlight=False)
    for device in record.late:
        err.print(f"  late, not mixed in: {device}", highlight=False)


def _print_participants(participants: list[PossibleParticipant], format_: Format) -> None:
    if format_ == "json":
        print_json(participants)
    elif participants:
        print_table("who would take part", [_row(one) for one in participants])
    else:
        out.print("no device is there")


def _row(one: PossibleParticipant) -> dict[str, object]:
    domains = sorted({*one.good, *one.defective})
    labels = [f"{d}: {one.good.get(d, 0)} good, {one.defective.get(d, 0)} bad" for d in domains]
    return {
        "device": one.device,
        "takes_part": "yes" if one.takes_part else f"no: {one.reason}",
        "labelled_parts": "; ".join(labels) or "none",
        "held_out": one.held_out,
    }


def _print_history(history: list[RoundRecord]) -> None:
    rows: list[dict[str, object]] = [
        {
            "round": one.round,
            "outcome": one.outcome,
            "devices": len(one.took_part),
            "set_aside": ", ".join(aside.device for aside in one.aside) or "none",
            "loss": one.loss,
            "kB_down": one.bytes_down / 1e3,
            "kB_up": one.bytes_up / 1e3,
            "seconds": one.seconds,
        }
        for one in history
    ]
    print_table("rounds", rows)


def _print_candidate(findings: RunFindings) -> None:
    print_text(f"candidate: {findings.name}")
    print_text(f"certificate: {findings.certificate}")
    if findings.system:
        print_text(f"edge and cloud together: {findings.system}")
    for remark in findings.remarks:
        print_text(remark)
    for reason in findings.reasons:
        print_text(f"it may not go out: {reason}")
    if findings.release:
        print_text(f"approved by policy: {findings.release} waits for its signature")
    elif not findings.reasons:
        out.print(f"it waits: `splitsight fleet candidate approve {findings.name} --by WHO`")
