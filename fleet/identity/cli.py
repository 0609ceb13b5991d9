"""`splitsight fleet init|devices|claim|revoke|readmit`: who belongs to the fleet."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from fleet.client.cloud_api import (
    CloudAddress,
    list_devices,
    list_identities,
    tell,
    with_identities,
)
from shared.clock import SystemClock
from shared.console import Format, out, print_json, print_table

CloudUrl = Annotated[str, typer.Option(help="Where the cloud is.")]
Output = Annotated[Format, typer.Option("--format", help="For people or programs.")]
Device = Annotated[str, typer.Argument(help="The device's name.")]
Hours = Annotated[float, typer.Option(help="How long the claim can be used.", min=0.01)]
HERE = "http://127.0.0.1:8765"
TOKEN_VARIABLE = "SPLITSIGHT_TOKEN"  # noqa: S105 - the variable's name, not a secret


def here(url: str) -> CloudAddress:
    """The cloud at an address, with the token of this shell."""
    return CloudAddress(url, os.environ.get(TOKEN_VARIABLE))


def init(
    names: Annotated[
        list[str],
        typer.Option("--name", help="A host name or IP address by which devices reach the cloud."),
    ],
    folder: Annotated[Path, typer.Option(help="A new folder for it.")] = Path("fleet"),
    passphrase_file: Annotated[
        Path | None, typer.Option(help="Lock the authority's key with this file's first line.")
    ] = None,
    output: Output = "text",
) -> None:
    """Make the fleet's authority, and the certificate of this cloud's door and broker."""
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
    if output == "json":
        print_json({"folder": str(folder), "names": names, "secure": secure})
        return
    lines = [
        "embedded_broker:",
        "  kind: mosquitto",
        "  secure:",
        *(f"    {key}: {value}" for key, value in secure.items()),
        "fleet:",
        f"  folder: {folder}",
        "  door: {host: 0.0.0.0, port: 8443}",
    ]
    if passphrase_file is not None:
        lines.append(f"  identity: {{passphrase_file: {passphrase_file}}}")
    say(f"{folder} holds the authority of your fleet: keep a copy of it in a safe place.")
    say("Write into cloud.yaml, with paths relative to that file:\n")
    say("\n".join(lines))
    say(f"\nGive every device a copy of {files.certificate}, then: splitsight fleet claim")


def devices(cloud: CloudUrl = HERE, output: Output = "text") -> None:
    """List devices with their state and identity. A token is read from SPLITSIGHT_TOKEN."""
    where = here(cloud)
    rows = list_devices(where)
    identities = list_identities(where)
    if identities is not None:
        rows = with_identities(rows, identities, SystemClock().utc())
    if output == "json":
        print_json(rows)
    elif rows:
        print_table("devices", [for_people(row) for row in rows])
    else:
        say("no device has reported yet: start one with `splitsight edge run`")


def claim(
    site: Annotated[str, typer.Option(help="Where the device will be.")],
    line: Annotated[str, typer.Option(help="Its line there.")],
    device: Annotated[str, typer.Option(help="Its name, unique in the fleet.")],
    hours: Hours = 24.0,
    cloud: CloudUrl = HERE,
    output: Output = "text",
) -> None:
    """Make a token that buys one device its certificate, once. It is shown this once."""
    wanted = {"site": site, "line": line, "device": device, "hours": hours}
    show_claim(tell(here(cloud), "claims", wanted), output)


def revoke(
    device: Device,
    reason: Annotated[str, typer.Option(help="Why; the device's people will read it.")],
    cloud: CloudUrl = HERE,
    output: Output = "text",
) -> None:
    """Put a device out: within a minute it can neither send nor hear anything."""
    tell(here(cloud), f"identities/{device}/revoke", {"reason": reason})
    if output == "json":
        print_json({"device": device, "standing": "revoked", "reason": reason})
    else:
        say(f"{device} is revoked; `splitsight fleet readmit {device}` would let it back in")


def readmit(
    device: Device, hours: Hours = 24.0, cloud: CloudUrl = HERE, output: Output = "text"
) -> None:
    """Let a held or revoked device back in: it has to enrol anew with the claim shown."""
    show_claim(tell(here(cloud), f"identities/{device}/readmit", {"hours": hours}), output)


def for_people(row: dict[str, object]) -> dict[str, object]:
    """A device's row with serial and time as people read them."""
    if "serial" not in row:
        return row
    serial, renewed_at = str(row["serial"] or ""), row["renewed_at"]
    when = time.strftime("%Y-%m-%d", time.gmtime(float(str(renewed_at)))) if renewed_at else ""
    return row | {"serial": serial[:8], "renewed_at": when}


def show_claim(made: dict[str, object], output: Format) -> None:
    if output == "json":
        print_json(made)
        return
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(float(str(made["expires_at"]))))
    say(f"claim for {made['site']}/{made['line']}/{made['device']}, once, until {until}:")
    say(str(made["token"]))


def say(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
