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
from shared import command_options as option
from shared.clock import SystemClock
from shared.console import Format, err, out, print_json, print_table, print_text
from shared.errors import SettingsError
from shared.format import size

PUBLIC_KEY = KEY.with_suffix(".pub")
CACHE = Path("~/.cache/splitsight/image")
image = option.group("Disk images of whole devices.")

ImageOption = Annotated[Path, typer.Option("--image", help="That `fleet image build` made.")]
PublicKeyOption = Annotated[
    Path, typer.Option(help="Of whoever built the image; the manifest must be signed with it.")
]
SiteOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file of settings; of the box, site.yaml."),
]
DiskOption = Annotated[
    Path | None, typer.Option("--disk", help="A whole disk, or a file; made where there is none.")
]
WithOption = Annotated[
    list[Path] | None,
    typer.Option("--with", help="A file that the configuration names; again for several."),
]
ClaimOption = Annotated[
    str | None, typer.Option(help="A token of `splitsight fleet claim`, for the first enrolment.")
]


@image.callback()
def image_group() -> None:
    """Disk images of whole devices."""


@image.command()
def build(
    out_file: Annotated[
        Path, typer.Option("--out", help="Where to write; .bmap and .json beside it.")
    ],
    profile: Annotated[str, typer.Option(help="x86-64 or arm64.")] = "x86-64",
    bundle: Annotated[
        Path | None, typer.Option("--bundle", "-b", help="A bundle; that the device starts with.")
    ] = None,
    key: Annotated[
        Path, typer.Option("--image-key", help="Signs the manifest; made where there is none.")
    ] = KEY,
    cache: Annotated[Path, typer.Option(help="Keeps what is built once.")] = CACHE,
    root: Annotated[
        Path | None,
        typer.Option("--root-image", help="A root file system; kept, `release add` takes it."),
    ] = None,
    time_server: Annotated[
        list[str] | None,
        typer.Option(help="Of your plant, where DHCP names none; again for several."),
    ] = None,
    format_: option.Format = "text",
) -> None:
    """Local: build a bootable image: Debian, the agent, two root slots."""
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
    sizes = ", ".join(f"{piece.label} {size(piece.size)}" for piece in manifest.pieces)
    print_text(
        f"{out_file}: {size(manifest.size)} in {took_s:.0f} s ({sizes})\n"
        f"signed with {key}; to flash elsewhere, copy {key.with_suffix('.pub').name} too",
    )


def flash(
    image_file: ImageOption,
    device: DiskOption = None,
    site: SiteOption = None,
    claim: ClaimOption = None,
    others: WithOption = None,
    public_key: PublicKeyOption = PUBLIC_KEY,
    force: Annotated[bool, typer.Option("--force", help="Take a very large disk too.")] = False,
    format_: option.Format = "text",
) -> None:
    """Local: write an image to a card, read it back, and add the files of its site.

    Without --disk the disks of this machine are listed.
    """
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
            "--config is missing", fix="write site.yaml as docs/guides/first-device.md"
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
    image_file: ImageOption,
    site: SiteOption = None,
    claim: ClaimOption = None,
    others: WithOption = None,
    disk: DiskOption = None,
    log: Annotated[Path, typer.Option(help="Gets the serial console.")] = Path("boot.log"),
    seconds: Annotated[
        float, typer.Option("--power-off-after", min=1, help="Seconds that the machine runs.")
    ] = 600.0,
    public_key: PublicKeyOption = PUBLIC_KEY,
) -> None:
    """Local: start an image in QEMU. The guest reaches this machine's services at 10.0.2.2.

    The disk is kept where one is given.
    """
    manifest = open_image(image_file, load_public_key(public_key)).manifest
    with tempfile.TemporaryDirectory() as folder:
        used = disk or Path(folder) / "disk.img"
        if not used.exists():
            flash(image_file, used, site, claim, others, public_key)
        with QemuMachine(
            used,
            log,
            profile=manifest.profile,
            on_line=print_text,
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
    print_text(
        f"{device} is ready: splitsight {manifest.version} for {manifest.profile}, written and "
        f"read back in {took_s:.0f} s; put it into the box and switch it on",
    )
