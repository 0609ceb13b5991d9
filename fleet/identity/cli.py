"""`splitsight fleet init|devices|claim|revoke|readmit`: who belongs to the fleet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fleet.client.cloud_api import CloudApi, with_identities
from shared import command_options as option
from shared.clock import SystemClock
from shared.console import Format, print_json, print_table, print_text
from shared.format import date

DeviceArgument = Annotated[str, typer.Argument(help="The device's name.")]


def init(
    names: Annotated[
        list[str],
        typer.Option("--host", help="A name or IP address by which devices reach the cloud."),
    ],
    folder: option.Folder,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="Lock the authority's key with this file's first line.")
    ] = None,
    format_: option.Format = "text",
) -> None:
    """Local: make the fleet's authority, and the certificate of this cloud's gateway and broker."""
    from fleet.identity.authority import Authority  # noqa: PLC0415 - cryptography, 0.1 s
    from fleet.identity.service import read_passphrase  # noqa: PLC0415

    phrase = read_passphrase(passphrase_file)
    files = Authority.create(folder, names, SystemClock(), phrase).files
    secure = {
        "host": "0.0.0.0",  # noqa: S104 - devices are elsewhere; certificates keep others out
        "port": 8883,
        "ca": str(files.certificate),
        "certificate": str(files.server_certificate),
        "key": str(files.server_key),
        "crl": str(files.revoked),
    }
    if format_ == "json":
        print_json({"folder": str(folder), "names": names, "secure": secure})
        return
    lines = [
        "embedded_broker:",
        "  kind: mosquitto",
        "  secure:",
        *(f"    {key}: {value}" for key, value in secure.items()),
        "fleet:",
        f"  folder: {folder}",
        "  gateway: {host: 0.0.0.0, port: 8443}",
    ]
    if passphrase_file is not None:
        lines.append(f"  identity: {{passphrase_file: {passphrase_file}}}")
    print_text(f"{folder} holds the authority of your fleet: keep a copy of it in a safe place.")
    print_text("Write into cloud.yaml, with paths relative to that file:\n")
    print_text("\n".join(lines))
    print_text(f"\nGive every device a copy of {files.certificate}, then: splitsight fleet claim")


def devices(cloud: option.Cloud, format_: option.Format = "text") -> None:
    """Cloud: list devices with their state and identity. SPLITSIGHT_TOKEN holds a token."""
    api = CloudApi.at(cloud)
    rows, identities = api.devices(), api.identities()
    if identities is not None:
        rows = with_identities(rows, identities, SystemClock().utc())
    if format_ == "json":
        print_json(rows)
    elif rows:
        print_table("devices", [for_people(row) for row in rows])
    else:
        print_text("no device has reported yet: start one with `splitsight edge run`")


def claim(
    site: Annotated[str, typer.Option(help="Name of a site; where the device will be.")],
    line: Annotated[str, typer.Option(help="Name of a line; the device's, there.")],
    device: Annotated[str, typer.Option(help="Name of a device; unique in the fleet.")],
    cloud: option.Cloud,
    hours: option.Hours = 24.0,
    format_: option.Format = "text",
) -> None:
    """Cloud: make a token that buys one device its certificate, once. It is shown this once."""
    wanted = {"site": site, "line": line, "device": device, "hours": hours}
    show_claim(CloudApi.at(cloud).identify("claims", wanted), format_)


def revoke(
    device: DeviceArgument,
    reason: Annotated[str, typer.Option(help="Why; the device's people will read it.")],
    cloud: option.Cloud,
    format_: option.Format = "text",
) -> None:
    """Cloud: put a device out: within a minute it can neither send nor hear anything."""
    CloudApi.at(cloud).identify(f"identities/{device}/revoke", {"reason": reason})
    if format_ == "json":
        print_json({"device": device, "standing": "revoked", "reason": reason})
    else:
        print_text(f"{device} is revoked; `splitsight fleet readmit {device}` would let it back in")


def readmit(
    device: DeviceArgument,
    cloud: option.Cloud,
    hours: option.Hours = 24.0,
    format_: option.Format = "text",
) -> None:
    """Cloud: let a held or revoked device back in: it has to enrol anew with the claim shown."""
    show_claim(
        CloudApi.at(cloud).identify(f"identities/{device}/readmit", {"hours": hours}), format_
    )


def for_people(row: Mapping[str, Any]) -> dict[str, object]:
    """What a person looks for in a device's row; `--format json` has all of it."""
    identity, days = row.get("identity", ""), row.get("days_left")
    if row.get("reason"):
        identity = f"{identity}: {row['reason']}"
    elif days is not None:
        identity = f"{identity}, {days:.0f} days left"
    state, seen_at = row.get("state") or "never seen", row.get("seen_at")
    if state == "offline" and seen_at:
        state = time.strftime("offline since %Y-%m-%d %H:%M UTC", time.gmtime(seen_at))
    return {
        "device": "/".join(str(row[key]) for key in ("site", "line", "device")),
        "state": state,
        "bundle": row.get("bundle", ""),
        "waiting": row.get("waiting", ""),
        "identity": identity,
        "problems": "; ".join(row.get("problems") or ()),
    }


def show_claim(made: dict[str, object], format_: Format) -> None:
    if format_ == "json":
        print_json(made)
        return
    until = date(float(str(made["expires_at"])))
    print_text(f"claim for {made['site']}/{made['line']}/{made['device']}, once, until {until}:")
    print_text(str(made["token"]))
