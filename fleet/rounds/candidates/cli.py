"""`splitsight fleet candidate`: what rounds ended in, and a person's word on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from fleet.identity.cli import HERE, CloudUrl, here
from fleet.releases.cli import DEFAULT_FOLDER, PASSPHRASE_VARIABLE, FolderOption, FormatOption
from fleet.rollouts.cli import Canary, PlanFile
from shared.clock import SystemClock
from shared.console import out, print_json, print_table
from shared.errors import FederationError, SplitsightError
from shared.releases import ReleaseFacts

if TYPE_CHECKING:
    from fleet.releases.drafts import Drafts
    from fleet.rollouts.plan import RolloutPlan
    from fleet.rounds.candidates.candidate_store import CandidateStore

CANDIDATES = "candidates"

app = typer.Typer(no_args_is_help=True, help="What federated rounds ended in: see, let out, drop.")
Name = Annotated[str, typer.Argument(help="As `list` prints it.")]
By = Annotated[str, typer.Option(help="Who decides; it is kept, and signed with the release.")]


@app.callback()
def candidate() -> None:
    """What federated rounds ended in: see, let out, drop."""


@app.command("list")
def list_(folder: FolderOption = DEFAULT_FOLDER, format_: FormatOption = "text") -> None:
    """List candidates with what was decided about them."""
    shelf = _shelf(folder)
    records = [shelf.get(name) for name in shelf.names()]
    if format_ == "json":
        print_json([msgspec.to_builtins(record) for record in records])
    elif records:
        rows: list[dict[str, object]] = [
            {
                "name": one.name,
                "status": one.status,
                "certified": "yes" if one.certified else "no",
                "by": one.by or "–",
                "made": one.created,
            }
            for one in records
        ]
        print_table("candidates", rows)
    else:
        out.print("no candidate yet: `splitsight fleet federate` makes one", markup=False)


@app.command()
def show(name: Name, folder: FolderOption = DEFAULT_FOLDER, format_: FormatOption = "text") -> None:
    """Show how a candidate fares on every device, and where its report lies."""
    shelf = _shelf(folder)
    record, findings = shelf.get(name), shelf.findings(name)
    if format_ == "json":
        told = {"record": msgspec.to_builtins(record), "report": msgspec.to_builtins(findings)}
        print_json(told)
        return
    rows: list[dict[str, object]] = []
    for site in findings.sites:
        one = site.compared
        rows.append(
            {
                "device": site.device,
                "rounds": site.rounds,
                "parts": f"{one.good} good, {one.defective} bad" if one else "not compared",
                "auroc": f"{_said(one.before.auroc)} → {_said(one.after.auroc)}" if one else "–",
                "escapes": f"{one.before.escapes} → {one.after.escapes}" if one else "–",
                "overkill": f"{one.before.overkill} → {one.after.overkill}" if one else "–",
            }
        )
    print_table(f"{name}: {record.status}", rows)
    out.print(f"certificate: {findings.certificate}", markup=False, highlight=False)
    if findings.system:
        out.print(f"edge and cloud together: {findings.system}", markup=False, highlight=False)
    if record.doubt:
        out.print(f"look at this first: {record.doubt}", markup=False, highlight=False)
    for reason in record.reasons:
        out.print(f"it may not go out: {reason}", markup=False, highlight=False)
    out.print(str(shelf.folder(name) / "report.html"), markup=False, soft_wrap=True)


@app.command()
def approve(
    name: Name,
    by: By,
    folder: FolderOption = DEFAULT_FOLDER,
    key: Annotated[
        list[Path] | None, typer.Option(help="Sign with it and publish at once; again for several.")
    ] = None,
    rollout: Annotated[
        bool, typer.Option("--rollout", help="Start bringing it to devices, ring by ring.")
    ] = False,
    plan: PlanFile = None,
    canary: Canary = None,
    cloud: CloudUrl = HERE,
    format_: FormatOption = "text",
) -> None:
    """Let a candidate out: it becomes a release. Devices run it beside the live head first."""
    wanted = _wanted(plan, canary, key, cloud) if rollout else None
    if wanted is None and (plan or canary):
        raise FederationError("only a rollout has a plan or a canary", fix="give --rollout")
    from fleet.rounds.candidates.approval import approve as approve_candidate  # noqa: PLC0415 - tuf
    from fleet.rounds.candidates.approval import drafts_of  # noqa: PLC0415

    drafts = drafts_of(folder)
    facts = approve_candidate(_shelf(folder), name, by, drafts)
    if key:
        _publish(drafts, key)
    started = _start(facts, by, cloud, wanted) if wanted else None
    if format_ == "json":
        print_json({"release": facts.path, "published": bool(key), "rollout": started})
        return
    out.print(f"{name} is the release {facts.path}", markup=False, highlight=False)
    for step in _next_steps(facts, published=bool(key), started=rollout):
        out.print(f"next: {step}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def reject(name: Name, by: By, folder: FolderOption = DEFAULT_FOLDER) -> None:
    """Drop a candidate. It stays on the shelf with who dropped it."""
    shelf = _shelf(folder)
    shelf.waiting(name, "reject")
    record = shelf.decide(name, "rejected", by)
    out.print(f"{name} was rejected by {record.by}", markup=False, highlight=False)


def _publish(drafts: Drafts, keys: list[Path]) -> None:
    from fleet.releases.keys import load_key  # noqa: PLC0415
    from fleet.releases.publisher import Publisher  # noqa: PLC0415

    drafts.sign([load_key(path, os.environ.get(PASSPHRASE_VARIABLE)) for path in keys])
    Publisher(drafts.store, SystemClock()).publish(())


def _wanted(
    plan: Path | None, canary: str | None, key: list[Path] | None, cloud: str
) -> RolloutPlan:
    """Whatever speaks against a rollout, before anybody has decided anything."""
    from fleet.client.cloud_api import ask_cloud  # noqa: PLC0415
    from fleet.rollouts.plan import read_plan  # noqa: PLC0415

    if not key:
        raise FederationError("only a published release can be rolled out", fix="give --key FILE")
    wanted = read_plan(plan, canary)
    ask_cloud(here(cloud), "rollouts")
    return wanted


def _start(facts: ReleaseFacts, by: str, cloud: str, plan: RolloutPlan) -> Any:
    from fleet.client.cloud_api import tell_cloud  # noqa: PLC0415

    body = {"target": facts.path, "plan": plan.model_dump(mode="json"), "by": by}
    try:
        return tell_cloud(here(cloud), "rollouts", body)
    except SplitsightError as error:
        raise FederationError(
            f"{facts.path} is published, but not on its way: {error.message}",
            fix=f"`splitsight fleet rollout start {facts.path}` once that is mended",
        ) from error


def _next_steps(facts: ReleaseFacts, *, published: bool, started: bool) -> list[str]:
    if started:
        return ["splitsight fleet rollout list"]
    start = f"splitsight fleet rollout start {facts.path}"
    if published:
        return [start]
    return ["splitsight fleet release sign --key KEY", "splitsight fleet release publish", start]


def _said(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _shelf(folder: Path) -> CandidateStore:
    from fleet.rounds.candidates.candidate_store import CandidateStore  # noqa: PLC0415

    return CandidateStore(folder / CANDIDATES)
