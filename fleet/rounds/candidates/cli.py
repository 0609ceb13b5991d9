"""`splitsight fleet candidate`: what rounds ended in, and a person's word on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from fleet.client.cloud_api import CloudApi
from shared import command_options as option
from shared.clock import SystemClock
from shared.console import print_json, print_table, print_text
from shared.errors import FederationError, SplitsightError
from shared.releases import ReleaseFacts

if TYPE_CHECKING:
    from fleet.releases.drafts import Drafts
    from fleet.rollouts.plan import RolloutPlan
    from fleet.rounds.candidates.candidate_store import CandidateStore

app = option.group("What rounds ended in, or a person has offered: see, let out, drop.")
NameArgument = Annotated[str, typer.Argument(help="As `list` prints it.")]
ByOption = Annotated[
    str, typer.Option("--by", help="Who wants it; it is kept, and signed with the release.")
]


@app.command("list")
def list_(folder: option.Folder, format_: option.Format = "text") -> None:
    """Local: list candidates with what was decided about them."""
    store = _store(folder)
    records = [store.get(name) for name in store.names()]
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
        print_text("no candidate yet: `splitsight fleet federate` makes one")


@app.command()
def show(name: NameArgument, folder: option.Folder, format_: option.Format = "text") -> None:
    """Local: show how a candidate fares on every device, and where its report lies."""
    store = _store(folder)
    record, findings = store.get(name), store.findings(name)
    if format_ == "json":
        print_json({"record": msgspec.to_builtins(record), "report": msgspec.to_builtins(findings)})
        return
    rows: list[dict[str, object]] = []
    for site in findings.sites:
        one = site.compared
        rows.append(
            {
                "device": site.device,
                "rounds": site.rounds,
                "parts": f"{one.good} good, {one.defective} bad" if one else "not compared",
                "auroc": f"{_ratio(one.before.auroc)} → {_ratio(one.after.auroc)}" if one else "–",
                "escapes": f"{one.before.escapes} → {one.after.escapes}" if one else "–",
                "overkill": f"{one.before.overkill} → {one.after.overkill}" if one else "–",
            }
        )
    print_table(f"{name}: {record.status}", rows)
    if record.asked_by:
        print_text(f"asked for by {record.asked_by}: {record.asked_why}")
    print_text(f"certificate: {findings.certificate}")
    if findings.system:
        print_text(f"edge and cloud together: {findings.system}")
    if record.doubt:
        print_text(f"look at this first: {record.doubt}")
    for reason in record.reasons:
        print_text(f"it may not go out: {reason}")
    print_text(str(store.folder(name) / "report.html"))


@app.command()
def approve(
    name: NameArgument,
    by: ByOption,
    folder: option.Folder,
    cloud: option.Cloud,
    key: option.Keys = None,
    why: Annotated[
        str, typer.Option("--why", help="Why it goes out without certificate or measurement.")
    ] = "",
    rollout: Annotated[
        bool, typer.Option("--rollout", help="Start bringing it to devices, ring by ring.")
    ] = False,
    plan: option.Plan = None,
    canary: option.Canary = None,
    format_: option.Format = "text",
) -> None:
    """Local or cloud: let a candidate out: it becomes a release, with a key a published one.

    Devices run it beside the live head first. --rollout asks the cloud to start bringing it.
    Where SPLITSIGHT_TOKEN holds a token, its owner is who wants it, whatever --by says.
    """
    by = CloudApi.at(cloud).name() or by
    wanted = _wanted(plan, canary, key, cloud) if rollout else None
    if wanted is None and (plan or canary):
        raise FederationError("only a rollout has a plan or a canary", fix="give --rollout")
    from fleet.rounds.candidates.approval import approve as approve_candidate  # noqa: PLC0415 - tuf
    from fleet.rounds.candidates.approval import drafts_of  # noqa: PLC0415

    drafts = drafts_of(folder)
    facts = approve_candidate(_store(folder), name, by, drafts, why)
    if key:
        _publish(drafts, key)
    started = _start(facts, by, cloud, wanted) if wanted else None
    if format_ == "json":
        print_json({"release": facts.path, "published": bool(key), "rollout": started})
        return
    print_text(f"{name} is the release {facts.path}")
    for step in _next_steps(facts, published=bool(key), started=rollout):
        print_text(f"next: {step}")


@app.command()
def reject(name: NameArgument, by: ByOption, folder: option.Folder) -> None:
    """Local: drop a candidate. It stays in the store with who dropped it."""
    store = _store(folder)
    store.waiting(name, "reject")
    record = store.decide(name, "rejected", by)
    print_text(f"{name} was rejected by {record.by}")


def _publish(drafts: Drafts, keys: list[Path]) -> None:
    from fleet.releases.keys import key_passphrase, load_key  # noqa: PLC0415
    from fleet.releases.publisher import Publisher  # noqa: PLC0415

    drafts.sign([load_key(path, key_passphrase()) for path in keys])
    Publisher(drafts.store, SystemClock()).publish(())


def _wanted(
    plan: Path | None, canary: str | None, key: list[Path] | None, cloud: str
) -> RolloutPlan:
    """Whatever speaks against a rollout, before anybody has decided anything."""
    from fleet.rollouts.plan import read_plan  # noqa: PLC0415

    if not key:
        raise FederationError("only a published release can be rolled out", fix="give --key FILE")
    wanted = read_plan(plan, canary)
    CloudApi.at(cloud).get("rollouts")
    return wanted


def _start(facts: ReleaseFacts, by: str, cloud: str, plan: RolloutPlan) -> Any:
    body = {"target": facts.path, "plan": plan.model_dump(mode="json"), "by": by}
    try:
        return CloudApi.at(cloud).post("rollouts", body)
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


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _store(folder: Path) -> CandidateStore:
    from fleet.rounds.candidates.candidate_store import (  # noqa: PLC0415
        CANDIDATES,
        CandidateStore,
    )

    return CandidateStore(folder / CANDIDATES)
