"""`splitsight fleet release`: what devices may run, signed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleet.client.cloud_api import CloudApi
from shared import command_options as option
from shared.clock import SystemClock
from shared.console import Format, err, print_json, print_table, print_text, track
from shared.errors import ReleaseError
from shared.releases import ANY_HARDWARE, ReleaseFacts, ReleaseKind, hardware_here

if TYPE_CHECKING:
    from fleet.releases.drafts import Drafts, RoleSignatures

app = option.group("Make, sign and publish what devices may run.")


@app.command()
def init(
    keys: Annotated[Path, typer.Option(help="Where to write the keys of people; a USB stick.")],
    folder: option.Folder,
) -> None:
    """Local: make a repository and its keys. SPLITSIGHT_KEY_PASSPHRASE holds a passphrase."""
    from fleet.releases.creation import found_repository  # noqa: PLC0415
    from fleet.releases.keys import key_passphrase  # noqa: PLC0415
    from fleet.releases.store import ReleaseStore  # noqa: PLC0415

    passphrase = key_passphrase()
    paths = found_repository(ReleaseStore(folder), keys, SystemClock(), passphrase)
    for path in paths:
        print_text(str(path))
    said = "encrypted" if passphrase else "[bold]not encrypted[/]"
    err.print(f"The keys above are {said}. Take root-1, root-2 and root-3 to three places.")
    err.print(f"Devices start from {folder / 'repository' / 'metadata' / '1.root.json'}.")


@app.command()
def add(
    folder: option.Folder,
    model: Annotated[Path | None, typer.Option(help="A bundle.")] = None,
    app_file: Annotated[
        Path | None, typer.Option("--app", help="An application, .tar.zst; needs --name …")
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--root-image", help="A root file system; .sqfs, alike.")
    ] = None,
    name: Annotated[
        str, typer.Option(help="Name of what is made; of an application or image.")
    ] = "",
    version: Annotated[
        str, typer.Option("--release-version", help="Version of what is made, say 1.2.0.")
    ] = "",
    hardware: Annotated[
        list[str] | None,
        typer.Option(help="Machines that it fits; again for several. Models fit any."),
    ] = None,
    parent: Annotated[str, typer.Option(help="Bundle that a model was made from.")] = "",
    round_: Annotated[
        int | None, typer.Option("--round", help="Federated round that a model comes from.")
    ] = None,
    approved_by: Annotated[str, typer.Option(help="Who lets it out.")] = "",
    why: Annotated[
        str, typer.Option("--why", help="Why it goes out without certificate or measurement.")
    ] = "",
    without_tail: Annotated[
        bool, typer.Option("--without-tail", help="Leave out what only the cloud needs.")
    ] = False,
    format_: option.Format = "text",
) -> None:
    """Local: add a release to the draft. Devices see it after `sign` and `publish`."""
    from fleet.releases.evidence import require_word  # noqa: PLC0415
    from fleet.releases.release_builder import Adding, ReleaseNote  # noqa: PLC0415
    from shared.bundles.bundle import Bundle  # noqa: PLC0415

    given = [p for p in (model, app_file, image) if p is not None]
    if len(given) != 1:
        raise ReleaseError("give one thing to add", fix="use --model, --app or --root-image")
    adding = Adding(_drafts(folder), watch=_watched)
    fits = tuple(hardware or [ANY_HARDWARE if model else hardware_here()])
    word = ReleaseNote(fits, approved_by, parent, round_, why)
    if model:
        bundle = Bundle.open(model)
        require_word(bundle, approved_by, why)
        facts = adding.add_model(bundle, word, without_tail=without_tail)
    else:
        kind: ReleaseKind = "app" if app_file else "image"
        facts = adding.add_file(kind, given[0], name, version, word)
    _print_added(facts, format_)


@app.command()
def remove(
    path: Annotated[str, typer.Argument(help="As `list` prints it.")],
    folder: option.Folder,
) -> None:
    """Local: take a release out of the draft. Devices that run it go on."""
    from fleet.releases.release_builder import Adding  # noqa: PLC0415

    Adding(_drafts(folder)).remove(path)
    err.print("Removed from the draft; sign and publish it.")


@app.command()
def renew(
    role: Annotated[str, typer.Argument(help="root, targets, models or firmware.")],
    folder: option.Folder,
) -> None:
    """Local: draft a role anew, unchanged, before it expires."""
    _drafts(folder).renew(role)
    err.print(f"{role} waits for its signatures.")


@app.command()
def rotate(
    role: Annotated[str, typer.Argument(help="The role whose key is replaced.")],
    old: Annotated[str, typer.Option(help="Beginning of the old key's id; see `list`.")],
    folder: option.Folder,
    new: Annotated[
        Path | None, typer.Option(help="Where to write the new key; not for online roles.")
    ] = None,
) -> None:
    """Local: draft a new key in place of one that is lost, leaked or old."""
    from fleet.releases.keys import key_passphrase, make_key  # noqa: PLC0415
    from fleet.releases.roles import ONLINE  # noqa: PLC0415

    drafts = _drafts(folder)
    if role in ONLINE:
        number = len(list(drafts.store.keys.glob(f"{role}-*.pem"))) + 1
        signer = make_key(drafts.store.keys / f"{role}-{number}.pem")
    elif new is None:
        raise ReleaseError(f"the new key of {role} needs a place", fix="give --new FILE")
    else:
        signer = make_key(new, key_passphrase())
    roles = drafts.rotate(role, old, signer)
    err.print(f"Waiting for signatures: {', '.join(roles)}.")


@app.command()
def sign(
    folder: option.Folder,
    key: option.Keys = None,
    file: Annotated[
        Path | None, typer.Option(help="A copy of a draft, on a machine without the repository.")
    ] = None,
    merge: Annotated[
        Path | None, typer.Option(help="Take signatures over from a copy signed elsewhere.")
    ] = None,
    format_: option.Format = "text",
) -> None:
    """Local: sign what waits with these keys. Signatures add up until there are enough."""
    from fleet.releases.drafts import sign_copy  # noqa: PLC0415
    from fleet.releases.keys import key_passphrase, load_key  # noqa: PLC0415

    if not key and not merge:
        raise ReleaseError("there is nothing to sign with", fix="give --key FILE")
    signers = [load_key(path, key_passphrase()) for path in key or ()]
    if file:
        sign_copy(file, signers)
        err.print(f"Signed. Take {file} back and `splitsight fleet release sign --merge` it.")
        return
    drafts = _drafts(folder)
    if merge:
        drafts.merge(merge)
    if signers:
        drafts.sign(signers)
    _print_standing([row for row in drafts.standing() if row.waiting], format_)


@app.command()
def publish(
    folder: option.Folder,
    cloud: Annotated[str, typer.Option(help="Where the cloud is.")] = "",
) -> None:
    """Local or cloud: let devices see every draft that enough keys have signed.

    A model needs its tail served. The tails of a running --cloud count too.
    """
    from fleet.releases.publisher import Publisher  # noqa: PLC0415

    drafts = _drafts(folder)
    served = _served_pairs(cloud) if cloud else ()
    roles = Publisher(drafts.store, SystemClock()).publish(served)
    err.print(f"Published: {', '.join(roles)}.")
    for row in drafts.standing():
        if row.waiting:
            err.print(f"{row.role} still waits: {row.signed} of {row.threshold} signatures.")


@app.command("list")
def list_(folder: option.Folder, format_: option.Format = "text") -> None:
    """Local: print every release, and who has to sign what until when."""
    from fleet.releases.catalogue import Catalogue, described  # noqa: PLC0415

    drafts = _drafts(folder)
    entries, standing = Catalogue(drafts.store).entries(), drafts.standing()
    if format_ == "json":
        print_json(
            {"releases": [described(e) for e in entries], "roles": [asdict(s) for s in standing]}
        )
        return
    if entries:
        print_table(
            "releases",
            [
                {
                    "path": entry.path,
                    "number": entry.facts.counter,
                    "state": entry.stage,
                    "kB": f"{entry.bytes / 1e3:.0f}",
                    "patches kB": ", ".join(f"{d.bytes / 1e3:.1f}" for d in entry.deltas) or "–",
                    "approved by": entry.facts.approved_by or "–",
                }
                for entry in entries
            ],
        )
    else:
        err.print("no release yet: `splitsight fleet release add --model BUNDLE`")
    _print_standing(standing, "text")


def _drafts(folder: Path) -> Drafts:
    from fleet.releases.drafts import Drafts  # noqa: PLC0415
    from fleet.releases.store import ReleaseStore  # noqa: PLC0415

    store = ReleaseStore(folder)
    store.require()
    return Drafts(store, SystemClock())


def _watched(items: Sequence[Any], what: str) -> Iterable[Any]:
    return track(items, what, len(items))


def _served_pairs(cloud: str) -> list[str]:
    return [str(row["pair"]) for row in CloudApi.at(cloud).tails() if not row["problem"]]


def _print_added(facts: ReleaseFacts, format_: Format) -> None:
    if format_ == "json":
        print_json({"path": facts.path, **facts.model_dump(mode="json")})
        return
    print_text(facts.path)
    err.print(f"Number {facts.counter}, {len(facts.deltas)} patches; sign and publish it.")


def _print_standing(rows: Sequence[RoleSignatures], format_: Format) -> None:
    if format_ == "json":
        print_json([asdict(row) for row in rows])
        return
    print_table(
        "signatures",
        [
            {
                "role": row.role,
                "version": row.version,
                "good until": row.expires[:16].replace("T", " "),
                "waiting": f"{row.waiting}: {row.signed} of {row.threshold}"
                if row.waiting
                else "–",
                "keys": " ".join(row.keys),
            }
            for row in rows
        ],
    )
