"""The Debian root file system, from the mirrors and keys that this machine's apt trusts."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from fleet.flash.profiles import COMMON, MachineProfile
from fleet.flash.tools import find_tool, run_tool
from shared.console import err
from shared.errors import ImageError
from shared.log import get_logger
from shared.storage.files import replacing

log = get_logger("image")

RELEASE = "bookworm"
FILES = Path(__file__).parent / "files"
AGENT_UID = 970
BUILD_TIMEOUT_S = 1800.0
EMULATORS = {"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
BINFMT = Path("/proc/sys/fs/binfmt_misc")
LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
)
_PASSED_ON = re.compile(
    r'Acquire::(?:https?::[A-Za-z:-]+|Check-Date|Check-Valid-Until|Retries|ForceIPv4) "[^"]+";'
)


def apt_sources() -> list[str]:
    """Lines of sources.list for Debian's own archives, as apt on this machine knows them."""
    form = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    said = run_tool(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian"],
        timeout_s=60,
    )
    lines = sorted({line for line in said.splitlines() if f" {RELEASE}" in line})
    if not lines:
        raise ImageError(
            f"apt on this machine knows no archive of Debian {RELEASE}",
            fix=f"add {RELEASE} to /etc/apt/sources.list and run `apt-get update`",
        )
    return lines


def apt_options() -> list[str]:
    """This machine's settings of how apt reaches its mirrors: proxies, retries, checked dates."""
    said = run_tool(["apt-config", "dump", "Acquire"], timeout_s=60)
    return [line for line in said.splitlines() if _PASSED_ON.fullmatch(line)]


def check_emulation(profile: MachineProfile, binfmt: Path = BINFMT, machine: str = "") -> None:
    """Raises ImageError where this machine can't run the other architecture's programs."""
    here = MACHINES.get(machine or platform.machine(), "")
    if here == profile.architecture:
        return
    emulator = binfmt / EMULATORS[profile.architecture]
    if not emulator.exists():
        raise ImageError(
            f"an image for {profile.name} needs programs of {profile.architecture} to run here, "
            f"and {emulator} is missing",
            fix="apt-get install qemu-user-static binfmt-support, with binfmt_misc mounted; "
            f"or build on a machine of {profile.architecture}",
        )


def base_key(profile: MachineProfile, sources: Sequence[str]) -> str:
    """Changes with whatever goes into the root file system of Debian."""
    digest = hashlib.sha256()
    for text in (*_command(profile, sources, [], Path("base.tar")), *_scripts()):
        digest.update(f"{text}\0".encode())
    return digest.hexdigest()[:16]


def build_base(profile: MachineProfile, cache: Path) -> Path:
    """A tar of the root file system; one that was built before is used again."""
    check_emulation(profile)
    sources = apt_sources()
    path = cache / f"debian-{profile.name}-{base_key(profile, sources)}.tar"
    if path.exists():
        log.info("base_found", path=str(path))
        return path
    find_tool("mmdebstrap")
    cache.mkdir(parents=True, exist_ok=True)
    with (
        replacing(path, path.with_suffix(f".{os.getpid()}.new")) as fresh,
        err.status(f"building Debian {RELEASE} for {profile.name} (a few minutes)"),
    ):
        run_tool(_command(profile, sources, apt_options(), fresh), timeout_s=BUILD_TIMEOUT_S)
    log.info("base_built", path=str(path), bytes=path.stat().st_size)
    return path


def _scripts() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(FILES.glob("*initramfs*"))] + [
        (FILES / "splitsight-slot").read_text(encoding="utf-8")
    ]


def _command(
    profile: MachineProfile, sources: Sequence[str], options: Sequence[str], out: Path
) -> list[str]:
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--architectures={profile.architecture}",
        f"--include={','.join(sorted({*COMMON, *profile.packages}))}",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--aptopt={option}" for option in options),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        # The initramfs is made when the kernel is installed: its scripts have to be there.
        f"--essential-hook={_place(FILES, profile)}",
        f"--customize-hook={_settle()}",
        RELEASE,
        str(out),
        *sources,
    ]


def _place(files: Path, profile: MachineProfile) -> str:
    folder = '"$1"/etc/initramfs-tools'
    steps = [
        (
            f"mkdir -p {folder}/scripts/local-top {folder}/scripts/local-bottom {folder}/hooks "
            f'{folder}/conf.d "$1"/usr/lib/splitsight'
        ),
        *(
            f"install -m 755 {shlex.quote(str(files / name))} {target}"
            for name, target in (
                ("splitsight-slot", '"$1"/usr/lib/splitsight/splitsight-slot'),
                ("initramfs-hook", f"{folder}/hooks/splitsight"),
                ("initramfs-local-top", f"{folder}/scripts/local-top/splitsight"),
                ("initramfs-local-bottom", f"{folder}/scripts/local-bottom/splitsight"),
            )
        ),
        f"printf '%s\\n' {' '.join(profile.modules)} > {folder}/modules",
        f"printf 'MODULES=list\\nBUSYBOX=y\\nCOMPRESS=zstd\\n' > {folder}/conf.d/splitsight",
    ]
    return " && ".join(steps)


def _settle() -> str:
    steps = [
        (
            f'chroot "$1" useradd --system --uid {AGENT_UID} --user-group --no-create-home '
            "--home-dir /data/splitsight --shell /usr/sbin/nologin splitsight"
        ),
        'chroot "$1" systemctl enable systemd-networkd systemd-resolved systemd-timesyncd',
        (
            'chroot "$1" systemctl disable apt-daily.timer apt-daily-upgrade.timer '
            "dpkg-db-backup.timer"
        ),
        'chroot "$1" passwd --lock root',
        # Made anew in each device, in memory: an image must not carry one.
        'printf "" > "$1"/etc/machine-id',
        (
            'rm -rf "$1"/etc/fstab "$1"/etc/hosts "$1"/etc/hostname "$1"/etc/resolv.conf '
            '"$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*'
        ),
    ]
    return " && ".join(steps)
