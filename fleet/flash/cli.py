"""`splitsight fleet image|flash|boot`: build a disk image, write it, start it."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from fleet.flash.card import OpenedImage, check_content, make_card, open_image
from fleet.flash.device import FileDisk
from fleet.flash.disks import DiskCandidate, list_candidates, require_flashable
from fleet.flash.flasher import Flasher, Report, card_state
from fleet.flash.image import Order, build_image
from fleet.flash.machine import QemuMachine
from fleet.flash.manifest import KEY, ImageManifest, load_or_make_key, load_public_key
from fleet.flash.meter import Bars, Lines, Meter
from fleet.flash.profiles import profile_named
from fleet.flash.site import site_files
from shared.clock import SystemClock
from shared.console import Format, err, out, print_json, print_table
from shared.errors import SettingsError

PUBLIC_KEY = KEY.with_suffix(".pub")
CACHE = Path("~/.cache/splitsight/image")
image = typer.Typer(no_args_is_help=True, help="Disk images of whole devices.")

ImageFile = Annotated[Path, typer.Option("--image", help="That `fleet image build` made.")]
PublicKey = Annotated[
    Path, typer.Option(help="Of whoever built the image; the manifest must be signed with it.")
]
Output = Annotated[Format, typer.Option("--format", help="For people or programs.")]
Site = Annotated[Path | None, typer.Option(help="The configuration of the box (site.yaml).")]
With = Annotated[
    list[Path] | None,
    typer.Option("--with", help="A file that the configuration names; may be given often."),
]
Claim = Annotated[
    str | None, typer.Option(help="A token of `splitsight fleet claim`, for the first enrolment.")
]


@image.callback()
def image_group() -> None:
    """Disk images of whole devices."""


@image.command()
def build(
    out_file: Annotated[Path, typer.Option("--out", help="The image; .bmap and .json beside it.")],
    profile: Annotated[str, typer.Option(help="x86-64 or arm64.")] = "x86-64",
    bundle: Annotated[
        Path | None, typer.Option(help="The model that a device starts with: folder or zip.")
    ] = None,
    key: Annotated[Path, typer.Option(help="Signs the manifest; made where there is none.")] = KEY,
    cache: Annotated[Path, typer.Option(help="Keeps what is built once.")] = CACHE,
    root: Annotated[
        Path | None,
        typer.Option(help="Keep the root file system too: `fleet release add --image` takes it."),
    ] = None,
    time_server: Annotated[
        list[str] | None,
        typer.Option(help="Of your plant, where DHCP names none; may be given often."),
    ] = None,
    format_: Output = "text",
) -> None:
    """Build a bootable image: Debian, the agent, two root slots."""
    began = time.monotonic()
    chosen = profile_named(profile)
    if bundle is not None and not bundle.exists():
        raise SettingsError(f"{bundle} is not there", fix="check --bundle")
    servers = tuple(time_server or ())
    order = Order(chosen, out_file, bundle, cache.expanduser(), root, servers)
    manifest = build_image(order, load_or_make_key(key))
    took_s = time.monotonic() - began
    if format_ == "json":
        print_json({"manifest": manifest, "took_s": round(took_s, 1)})
        return
    sizes = ", ".join(f"{piece.label} {piece.size / 1e6:.0f} MB" for piece in manifest.pieces)
    out.print(
        f"{out_file}: {manifest.size / 1e6:.0f} MB in {took_s:.0f} s ({sizes})\n"
        f"signed with {key}; to flash elsewhere, copy {key.with_suffix('.pub').name} too",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def flash(
    image_file: ImageFile,
    device: Annotated[
        Path | None, typer.Option(help="A whole disk, or a file. Without it, disks are listed.")
    ] = None,
    site: Site = None,
    claim: Claim = None,
    others: With = None,
    public_key: PublicKey = PUBLIC_KEY,
    force: Annotated[bool, typer.Option("--force", help="Take a very large disk too.")] = False,
    format_: Output = "text",
) -> None:
    """Write an image to a card, read it back, and add the files of its site."""
    opened = open_image(image_file, load_public_key(public_key))
    manifest = opened.manifest
    if device is None or not (device.exists() and device.is_file()):
        candidates = list_candidates(manifest.size)
    else:
        candidates = []
    if device is None:
        _show(candidates, format_)
        return
    if site is None:
        raise SettingsError(
            "--site is missing", fix="write site.yaml as docs/guides/first-device.md"
        )
    files = site_files(site, claim, others or [])
    if not device.exists() and not str(device).startswith("/dev/"):
        with device.open("wb") as stream:
            stream.truncate(manifest.size)
    require_flashable(device, manifest.size, candidates, force=force)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _meter(format_) as meter:
        _check(opened, meter)
        card = make_card(opened, files, Path(folder))
        disk = FileDisk(device)
        try:
            if card_state(disk).kind == "unfinished":
                err.print(f"{device}: {card_state(disk).describe()}; going on", highlight=False)
            Flasher(disk, card, meter.report).flash()
        finally:
            disk.close()
    _say_done(device, manifest, time.monotonic() - began, format_)


def boot(
    image_file: ImageFile,
    site: Site = None,
    claim: Claim = None,
    others: With = None,
    disk: Annotated[
        Path | None, typer.Option(help="The machine's disk, kept; made where there is none.")
    ] = None,
    log: Annotated[Path, typer.Option(help="Gets the serial console.")] = Path("boot.log"),
    seconds: Annotated[
        float, typer.Option(help="The power goes off after so long.", min=1)
    ] = 600.0,
    public_key: PublicKey = PUBLIC_KEY,
) -> None:
    """Start an image in QEMU. The guest reaches this machine's services at 10.0.2.2."""
    manifest = open_image(image_file, load_public_key(public_key)).manifest
    with tempfile.TemporaryDirectory() as folder:
        used = disk or Path(folder) / "disk.img"
        if not used.exists():
            flash(image_file, used, site, claim, others, public_key)
        with QemuMachine(
            used,
            log,
            profile=manifest.profile,
            on_line=lambda line: out.print(line, highlight=False, markup=False, soft_wrap=True),
        ) as machine:
            if not machine.wait(seconds):
                err.print(f"{seconds:.0f} s are over: power off", highlight=False)


def _check(opened: OpenedImage, meter: Meter) -> None:
    for done in check_content(opened):
        meter.report(Report("check", done, opened.bmap.used))


def _meter(format_: Format) -> Meter:
    if format_ == "json":
        return Lines(SystemClock(), lambda line: print(line, flush=True))  # noqa: T201 - one a line
    return Bars()


def _show(candidates: list[DiskCandidate], format_: Format) -> None:
    rows = [
        {
            "device": candidate.path,
            "size_gb": round(candidate.size / 1e9, 2),
            "model": candidate.model,
            "can_be_flashed": candidate.refused or "yes",
        }
        for candidate in candidates
    ]
    if format_ == "json":
        print_json([dataclasses.asdict(candidate) for candidate in candidates])
    elif rows:
        print_table("disks of this machine", rows)
    else:
        out.print("this machine has no disk that could be flashed: plug a card in")


def _say_done(device: Path, manifest: ImageManifest, took_s: float, format_: Format) -> None:
    if format_ == "json":
        return
    out.print(
        f"{device} is ready: splitsight {manifest.version} for {manifest.profile}, written and "
        f"read back in {took_s:.0f} s; put it into the box and switch it on",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
