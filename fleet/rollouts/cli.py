"""`splitsight fleet rollout …`, `health` and `configure`: over the cloud's API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fleet.client.cloud_api import CloudApi
from shared import command_options as option
from shared.console import Format, out, print_json, print_table, print_text
from shared.format import date

app = option.group("Bring releases to devices, ring by ring.")

KEYS = ("side", "serial", "what", "by")
IdArgument = Annotated[int, typer.Argument(help="The rollout's number, as `list` shows it.")]


@app.command()
def start(
    target: Annotated[str, typer.Argument(help="A published release: models/NAME/VERSION.zip")],
    by: option.By,
    cloud: option.Cloud,
    plan: option.Plan = None,
    canary: option.Canary = None,
    format_: option.Format = "text",
) -> None:
    """Cloud: start a rollout."""
    from fleet.rollouts.plan import read_plan  # noqa: PLC0415 - pydantic models, 0.1 s

    wanted = read_plan(plan, canary)
    body = {"target": target, "plan": wanted.model_dump(mode="json"), "by": by}
    _show(CloudApi.at(cloud).post("rollouts", body), format_)


@app.command("list")
def list_(cloud: option.Cloud, format_: option.Format = "text") -> None:
    """Cloud: rollouts under way and the newest others."""
    rows = CloudApi.at(cloud).get("rollouts")
    if format_ == "json":
        print_json(rows)
    elif rows:
        print_table("rollouts", [_short(row) for row in rows])
    else:
        out.print("no rollout yet: `splitsight fleet rollout start models/NAME/VERSION.zip`")


@app.command()
def status(id_: IdArgument, cloud: option.Cloud, format_: option.Format = "text") -> None:
    """Cloud: how a rollout stands, ring by ring and device by device."""
    _show(CloudApi.at(cloud).get(f"rollouts/{id_}"), format_)


@app.command()
def pause(
    id_: IdArgument, by: option.By, cloud: option.Cloud, format_: option.Format = "text"
) -> None:
    """Cloud: ask no further device. Those that were asked go on; failures still stop it."""
    _order(id_, "pause", by, cloud, format_)


@app.command()
def resume(
    id_: IdArgument, by: option.By, cloud: option.Cloud, format_: option.Format = "text"
) -> None:
    """Cloud: go on; past a ring that ended with too few successes, too."""
    _order(id_, "resume", by, cloud, format_)


@app.command()
def approve(
    id_: IdArgument, by: option.By, cloud: option.Cloud, format_: option.Format = "text"
) -> None:
    """Cloud: let the ring begin that waits for an approval."""
    _order(id_, "approve", by, cloud, format_)


@app.command()
def abort(
    id_: IdArgument,
    by: option.By,
    cloud: option.Cloud,
    reason: Annotated[str, typer.Option(help="Why; it is shown.")] = "",
    format_: option.Format = "text",
) -> None:
    """Cloud: give every device back what it ran before."""
    _order(id_, "abort", by, cloud, format_, reason)


def health(cloud: option.Cloud, format_: option.Format = "text") -> None:
    """Cloud: how devices fare: last seen, versions, temperature, disk, clock, queue."""
    rows: Any = CloudApi.at(cloud).get("health")
    if format_ == "json":
        print_json(rows)
    elif rows:
        print_table("health", [_health(row) for row in rows])
    else:
        out.print("no device has reported yet: start one with `splitsight edge run`")


def configure(
    device: Annotated[str, typer.Argument(help="DEVICE, or SITE/LINE/DEVICE.")],
    by: option.By,
    cloud: option.Cloud,
    settings: Annotated[
        list[str] | None, typer.Argument(help="key=value, all that should be set; none: its own.")
    ] = None,
    format_: option.Format = "text",
) -> None:
    """Cloud: have a device run with other settings; it checks them, tries them, and may go back."""
    from fleet.rollouts.requests import parse_settings  # noqa: PLC0415 - pydantic models, 0.1 s

    wanted = parse_settings(settings or [])
    body = {"device": device, "settings": wanted, "by": by}
    told: Any = CloudApi.at(cloud).post("settings", body)
    if format_ == "json":
        print_json(told)
    else:
        rows = [{"at": date(one["at"]), **{k: one[k] for k in KEYS}} for one in told[:10]]
        print_table(f"what was wanted of {device} and what it said, newest first", rows)


def _order(id_: int, what: str, by: str, cloud: str, format_: Format, reason: str = "") -> None:
    body = {"by": by, **({"reason": reason} if reason else {})}
    _show(CloudApi.at(cloud).post(f"rollouts/{id_}/{what}", body), format_)


def _show(view: Any, format_: Format) -> None:
    if format_ == "json":
        print_json(view)
        return
    reason = f" – {view['reason']}" if view["reason"] else ""
    print_text(f"rollout {view['id']} of {view['target']}: {view['state']}{reason}")
    columns = ("name", "devices", "waiting", "asked", "committed", "failed", "back", "approved_by")
    print_table("rings", [{key: ring[key] for key in columns} for ring in view["rings"]])
    telling = [m for m in view["members"] if m["reason"] or m["phase"] in {"asked", "returning"}]
    if telling:
        keys = ("device", "line", "ring", "phase", "doing", "reason")
        print_table("devices to look at", [{key: m[key] for key in keys} for m in telling[:50]])
    if len(telling) > 50:
        out.print(f"{len(telling) - 50} more: --format json lists all", highlight=False)


def _short(row: Any) -> dict[str, object]:
    kept = f"{row['committed']}/{row['devices']}"
    return {
        **{key: row[key] for key in ("id", "target", "state", "ring")},
        "keep_it": kept,
        **{key: row[key] for key in ("aside", "started_by", "reason")},
    }


def _health(row: Any) -> dict[str, object]:
    def shown(value: float | None, unit: str, scale: float = 1.0) -> str:
        return "–" if value is None else f"{value / scale:.3g} {unit}"

    # models/elpv/1.2.0.zip → elpv/1.2.0
    names = [
        path.split("/", 1)[-1].removesuffix(".zip") for path in row["running"].values() if path
    ]
    return {
        "device": f"{row['site']}/{row['line']}/{row['device']}",
        "state": f"offline: {row['offline']}" if row["offline"] else "online",
        "runs": ", ".join(names) or "as flashed",
        "update": row["phase"],
        "temperature": shown(row["temperature_c"], "°C"),
        "disk_free": shown(row["disk_free_bytes"], "GB", 1e9),
        "clock_behind": shown(row["skew_s"], "s"),
        "queue": "–" if row["queue"] is None else f"{row['queue']:.0f}",
        "gave_up": "; ".join(row["failed"].values()),
    }
