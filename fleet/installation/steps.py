"""The agent on a Debian or Raspberry Pi OS that is there already: service, user, folders.

A list of steps, each of which says what it would do, looks whether it is done, and does it. Running
it again changes nothing; every path can lie below another root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fleet.flash.debian import FILES
from fleet.flash.site import NAME, check_site
from shared.errors import SettingsError
from shared.log import get_logger

log = get_logger("install")

USER = "splitsight"
HOME = Path("/var/lib/splitsight")
PREFIX = Path("/opt/splitsight")
UNIT = Path("/etc/systemd/system/splitsight.service")
FOLDERS = (HOME, HOME / "config")
COMMAND_TIMEOUT_S = 600.0

Run = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class InstallStep:
    """says: what it does, as an order; done: whether that is so already"""

    says: str
    done: Callable[[], bool]
    do: Callable[[], None]


@dataclass
class Place:
    """Where to install.

    root    in front of every path; `/` for this machine
    prefix  of the virtual environment with the agent
    run     runs a command; on another root nothing is run
    """

    root: Path = Path("/")
    prefix: Path = PREFIX
    run: Run = field(default_factory=lambda: _run)

    @property
    def is_here(self) -> bool:
        return self.root == Path("/")

    def under(self, path: Path) -> Path:
        return self.root / path.relative_to("/")


def install_steps(place: Place, site: Path, source: str) -> list[InstallStep]:
    """source: what pip installs, a checkout, a wheel, or `splitsight`. Raises SettingsError."""
    check_site(site)
    unit = unit_text(place.prefix)
    steps = [_folder(place, folder) for folder in FOLDERS]
    if place.is_here:
        steps = [_user(place), *_program(place, source), *steps]
    steps += [
        _file(place, HOME / "config" / NAME, site.read_bytes(), 0o640),
        _file(place, UNIT, unit.encode(), 0o644),
    ]
    if place.is_here:
        steps += [_ownership(place), _service(place, unit)]
    return steps


def uninstall_steps(place: Place) -> list[InstallStep]:
    """Data stays: journal, identity and slots are the box's own."""
    unit = place.under(UNIT)
    steps: list[InstallStep] = []
    if place.is_here:
        stop = ("systemctl", "disable", "--now", UNIT.name)
        steps.append(InstallStep("stop the service", lambda: not unit.exists(), _runs(place, stop)))
    program = place.under(place.prefix)
    steps += [
        InstallStep(f"remove {UNIT}", lambda: not unit.exists(), unit.unlink),
        InstallStep(
            f"remove {place.prefix}", lambda: not program.exists(), lambda: _remove(program)
        ),
    ]
    return steps


def carry_out(steps: Sequence[InstallStep], say: Callable[[str], None], *, dry_run: bool) -> int:
    """How many steps changed something, or would."""
    changed = 0
    for step in steps:
        if step.done():
            say(f"is so:  {step.says}")
            continue
        changed += 1
        say(f"{'would' if dry_run else 'doing'}:  {step.says}")
        if not dry_run:
            step.do()
    return changed


def unit_text(prefix: Path) -> str:
    """The image's own unit, with this machine's places."""
    text = (FILES / "root/etc/systemd/system/splitsight.service").read_text(encoding="utf-8")
    lines = [
        line
        for line in text.replace("splitsight-config.service ", "").splitlines()
        if not line.startswith("RequiresMountsFor=")
    ]
    return (
        "\n".join(lines)
        .replace("/data/splitsight", str(HOME))
        .replace("/usr/bin/splitsight", str(prefix / "bin/splitsight"))
        .replace("journal+console", "journal")
        + "\n"
    )


def require_here(place: Place) -> None:
    """Raises SettingsError where this machine can't take a service."""
    if not place.is_here:
        return
    if shutil.which("systemctl") is None:
        raise SettingsError("this machine has no systemd", fix="run `splitsight edge run` yourself")
    if os.geteuid():
        raise SettingsError("installing a service needs root", fix="use sudo, or --dry-run")


def _user(place: Place) -> InstallStep:
    def exists() -> bool:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            return False
        return True

    add = ("useradd", "--system", "--user-group", "--home-dir", str(HOME))
    shell = ("--shell", "/usr/sbin/nologin", USER)
    return InstallStep(f"make the user {USER}", exists, _runs(place, (*add, *shell)))


def _program(place: Place, source: str) -> list[InstallStep]:
    python = place.prefix / "bin/python"
    program = place.prefix / "bin/splitsight"
    environment = (sys.executable, "-m", "venv", str(place.prefix))
    packages = (str(python), "-m", "pip", "install", "--quiet", f"{source}[edge]")
    return [
        InstallStep(
            f"make the environment {place.prefix}", python.exists, _runs(place, environment)
        ),
        InstallStep(f"install {source}[edge] there", program.exists, _runs(place, packages)),
    ]


def _folder(place: Place, folder: Path) -> InstallStep:
    path = place.under(folder)
    return InstallStep(
        f"make {folder}", path.is_dir, lambda: path.mkdir(mode=0o750, parents=True, exist_ok=True)
    )


def _file(place: Place, target: Path, content: bytes, mode: int) -> InstallStep:
    path = place.under(target)

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)

    return InstallStep(
        f"write {target}", lambda: path.exists() and path.read_bytes() == content, write
    )


def _ownership(place: Place) -> InstallStep:
    def is_theirs() -> bool:
        return all(place.under(f).exists() and place.under(f).owner() == USER for f in FOLDERS)

    change = ("chown", "-R", f"{USER}:{USER}", str(HOME))
    return InstallStep(f"give {HOME} to {USER}", is_theirs, _runs(place, change))


def _service(place: Place, unit: str) -> InstallStep:
    def start() -> None:
        place.run(("systemctl", "daemon-reload"))
        place.run(("systemctl", "enable", UNIT.name))
        place.run(("systemctl", "restart", UNIT.name))

    def is_running() -> bool:
        active = subprocess.run(
            ["systemctl", "is-active", "--quiet", UNIT.name], check=False, timeout=30
        )
        return active.returncode == 0 and UNIT.read_text(encoding="utf-8") == unit

    return InstallStep("start the service, now and at each start of the machine", is_running, start)


def _runs(place: Place, command: Sequence[str]) -> Callable[[], None]:
    return lambda: place.run(command)


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, timeout=COMMAND_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise SettingsError(
            f"`{' '.join(command)}` failed ({error})", fix="see what it said, and run this again"
        ) from error


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)
