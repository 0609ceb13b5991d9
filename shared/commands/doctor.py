"""`splitsight doctor`: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypedDict, TypeVar

import typer
from rich.markup import escape

from shared import command_options as option
from shared.calls import CallHangs, LimitedCalls
from shared.console import out, print_json
from shared.errors import SplitsightError, said
from shared.format import date
from shared.loopback import is_loopback, shown
from shared.plugins.group import LoadedPlugin, PluginGroup
from shared.redaction import redact
from shared.settings import read_settings, resolve_paths, validate
from shared.transport.mqtt import BrokerSettings
from shared.transport.probe import BrokerProbe, probe

K = TypeVar("K")
GROUP = "splitsight.checks"
ANSWER_S = 30.0
"""A driver may be slow to find out what it drives; a plug-in that needs longer hangs."""
CONFIG_GROUP = "splitsight.config_checks"
PLUGIN_GROUPS = "splitsight.plugin_groups"
SYNCED = Path("/run/systemd/timesync/synchronized")


class DoctorRow(TypedDict):
    """One line of the report; `fix` says what to do, and is empty where all is well."""

    check: str
    ok: bool
    found: str
    wanted: str
    fix: str


def row(check: str, *, ok: bool, found: str, wanted: str, fix: str = "") -> DoctorRow:
    """A row, without its `fix` where all is well."""
    found = redact(found)
    return {"check": check, "ok": ok, "found": found, "wanted": wanted, "fix": "" if ok else fix}


def loaded_in_time(group: PluginGroup[K], limit_s: float = ANSWER_S) -> list[LoadedPlugin[K]]:
    """Every plug-in of a group, by name; one whose module hangs does not hold up the others."""
    return [_loaded(group, name, limit_s) for name in group.names()]


def _loaded(group: PluginGroup[K], name: str, limit_s: float) -> LoadedPlugin[K]:
    try:
        return LimitedCalls("doctor", limit_s)(partial(group.load, name))
    except CallHangs as error:
        return LoadedPlugin(name, None, f"loading it hangs: {error}")


def plugin_rows(group: PluginGroup[Any]) -> list[DoctorRow]:
    """A row for each plug-in of a group: that it can be used, or why not."""
    return [plugin_row(group.noun, loaded) for loaded in loaded_in_time(group)]


def group_rows(noun: str, found: Sequence[LoadedPlugin[Any]]) -> Iterator[DoctorRow]:
    """One row for all that can be used, and one for each that can't."""
    usable = [loaded.name for loaded in found if loaded.kind is not None]
    if usable:
        yield row(f"{noun}s", ok=True, found=", ".join(usable), wanted="those that are installed")
    yield from (plugin_row(noun, loaded) for loaded in found if loaded.kind is None)


def plugin_checks() -> Iterator[DoctorRow]:
    """What is plugged into each group whose part of splitsight is installed."""
    for entry in sorted(entry_points(group=PLUGIN_GROUPS), key=lambda e: e.name):
        try:
            group: PluginGroup[Any] = entry.load()
        except ImportError:
            continue
        if not group.needs or find_spec(group.needs):
            yield from group_rows(group.noun, loaded_in_time(group))


def plugin_row(
    noun: str,
    loaded: LoadedPlugin[Any],
    fix: str = "install what it needs, mend it, or remove its package",
    found: str = "loads",
) -> DoctorRow:
    """found: what is said of one that can be used"""
    return row(
        f"{noun} {loaded.name}",
        ok=loaded.kind is not None,
        found=loaded.error or found,
        wanted="a plug-in that can be loaded",
        fix=fix,
    )


def doctor(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file of settings; its broker is checked too."),
    ] = None,
    format_: option.Format = "text",
) -> None:
    """Local: check every backend, camera, actuator, the clock, the disk, and a broker."""
    rows = [
        *own_checks(),
        *plugged_in_checks(GROUP),
        *plugin_checks(),
        *broker_checks(config),
        *(plugged_in_checks(CONFIG_GROUP, config) if config else ()),
    ]
    if format_ == "json":
        print_json(rows)
    else:
        for entry in rows:
            mark = "[green]ok[/]  " if entry["ok"] else "[yellow]no[/]  "
            out.print(mark, escape(f"{entry['check']}: {entry['found']}"), highlight=False)
            if entry["fix"]:
                out.print("       do:", escape(entry["fix"]), highlight=False)


def own_checks() -> Iterator[DoctorRow]:
    """What every machine needs, whatever part of splitsight it runs."""
    year = time.gmtime().tm_year
    synced = SYNCED.exists()
    yield row(
        "clock",
        ok=year >= 2026,
        found=date() + (", synchronised" if synced else ""),
        wanted="a clock that is set",
        fix="set the clock, and switch on time synchronisation",
    )
    free = shutil.disk_usage(Path.cwd()).free
    yield row(
        "disk",
        ok=free > 1 << 30,
        found=f"{free / 1e9:.1f} GB free here",
        wanted="1 GB free",
        fix="free some space",
    )


def broker_checks(config: Path | None) -> Iterator[DoctorRow]:
    """Whether the broker of a configuration answers, and until when its certificate is valid."""
    answers, valid = "a broker that answers", "a certificate that is valid for 14 more days"
    if config is None:
        fix = "`splitsight doctor --config FILE` checks the broker and its certificate"
        yield row("broker", ok=False, found="no --config was given", wanted=answers, fix=fix)
        yield row("certificate", ok=False, found="no --config was given", wanted=valid, fix=fix)
        return
    broker = read_broker(config)
    if broker is None:
        return
    yield from broker_rows("broker", broker, lambda: probe(broker))


def broker_rows(
    what: str, broker: BrokerSettings, trying: Callable[[], BrokerProbe]
) -> Iterator[DoctorRow]:
    """What trying a broker shows: that it answers, what it lacks, how long its certificate lasts.

    what   the check's name
    """
    answers, valid = "a broker that answers", "a certificate that is valid for 14 more days"
    paper = "certificate" if what == "broker" else f"{what}'s certificate"
    try:
        found = trying()
    except SplitsightError as error:
        yield row(what, ok=False, found=error.message, wanted=answers, fix=error.fix)
        return
    where = shown(broker.host, broker.port)
    lacking = found.limits.shortcomings if found.limits else {}
    said = "; ".join([f"{where} answers", *lacking.values()])
    fix = "set the broker up otherwise, or take another"
    yield row(what, ok=not lacking, found=said, wanted=answers, fix=fix)
    if found.expires is None:
        said = "none: the connection is not encrypted"
        safe = is_loopback(broker.host)
        yield row(paper, ok=safe, found=said, wanted=valid, fix="set broker.tls")
        return
    days = (found.expires - time.time()) / 86400
    said = f"the broker's is valid for {days:.0f} more days"
    yield row(paper, ok=days > 14, found=said, wanted=valid, fix="renew it")


def read_broker(config: Path) -> BrokerSettings | None:
    """The `broker` of any configuration of ours. Raises SettingsError.

    None for a box that has an identity: it knows its certificate itself, and checks with it.
    """
    _, values = read_settings(config)
    values = values if isinstance(values, dict) else {}
    if isinstance(values.get("identity"), dict):
        return None
    found = validate(values.get("broker") or {}, BrokerSettings, f"{config.name}: broker")
    return resolve_paths(found, config.resolve().parent)


def plugged_in_checks(group: str, *of: Path) -> Iterator[DoctorRow]:
    """What each installed part of splitsight checks itself; `of` a configuration, or nothing."""
    for entry in sorted(entry_points(group=group), key=lambda e: e.name):
        try:
            checks: Callable[..., list[DoctorRow]] = entry.load()
            yield from checks(*of)
        except Exception as error:  # noqa: BLE001 - one that fails hides none of the others
            yield row(
                entry.name,
                ok=False,
                found=f"can't be checked: {said(error)}",
                wanted="installed",
                fix=f"pip install 'splitsight[{entry.name}]'",
            )
