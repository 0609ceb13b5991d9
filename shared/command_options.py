"""Options that several commands have, and their groups: one name, one type, one meaning each.

A help text says the meaning up to its first `;`, and what is special to one command after it.
"""

from __future__ import annotations

import difflib
import getpass
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar

import click
import typer
from rich.markup import escape
from typer.core import TyperGroup

from shared.console import Format as OutputFormat
from shared.errors import MissingExtra, SettingsError

HERE = "http://127.0.0.1:8765"
FLEET = "fleet"
GROUP = "splitsight.groups"
OWN_PACKAGES = frozenset({"shared", "edge", "cloud", "fleet", "hardware_sim"})


def not_in_code(folder: Path) -> Path:
    """The folder. Raises SettingsError in a checkout of splitsight, whose `fleet/` is code."""
    if (folder / "__init__.py").exists():
        raise SettingsError(
            f"{folder} is a Python package, and keys would lie in it",
            fix="work in a folder of your own, or give --folder",
        )
    return folder


Config = Annotated[Path, typer.Option("--config", "-c", help="YAML file of settings.")]
Bundle = Annotated[Path, typer.Option("--bundle", "-b", help="A bundle; folder or zip.")]
Format = Annotated[OutputFormat, typer.Option("--format", help="For people or for programs.")]
Runtime = Annotated[str, typer.Option(help="What computes; auto, openvino or onnx.")]
Threads = Annotated[int, typer.Option(min=0, help="Processor threads; 0: the runtime's.")]
Seed = Annotated[int, typer.Option(min=0, help="Of every random choice.")]
Data = Annotated[
    str, typer.Option(help="Pictures; a folder, a CSV manifest, or `elpv`.", show_default=False)
]
DataFormat = Annotated[
    str, typer.Option(help="How the pictures are labelled; recognised unless given, say COCO.")
]
Target = Annotated[
    str,
    typer.Option(
        help="An accelerator; litert, ethos-u55, ethos-u65, ethos-u85, or with its size.",
        show_default=False,
    ),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Go on without the files that are wrong.")
]
SamePart = Annotated[
    str, typer.Option(help="When pictures show one part; auto, never, or a correlation.")
]
GoodOnly = Annotated[
    bool, typer.Option("--good-only", help="Learn from good parts alone: no defects needed.")
]
Split = Annotated[str, typer.Option(help="Which of them; train, calibrate or test.")]
AllowSeen = Annotated[
    bool, typer.Option("--allow-seen", help="Look at pictures that the bundle was trained on.")
]
Report = Annotated[Path | None, typer.Option(help="Folder for report.html and more.")]
Keep = Annotated[
    Path | None, typer.Option("--keep-in", help="Folder in which to keep logs and data.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Of the cloud's pages; 0: any free one.")]
BrokerPort = Annotated[int, typer.Option(min=0, max=65535, help="Of the broker; 0: any free one.")]
Every = Annotated[float, typer.Option(min=0.01, max=3600, help="Seconds between a device's parts.")]
Escalated = Annotated[float, typer.Option(min=0, max=1, help="Share of parts, 0 to 1.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]

Cloud = Annotated[
    str,
    typer.Option(
        "--cloud", help="Where the cloud is.", default_factory=lambda: HERE, show_default=HERE
    ),
]
Folder = Annotated[
    Path,
    typer.Option(
        help="The fleet's folder.",
        callback=not_in_code,
        default_factory=lambda: Path(FLEET),
        show_default=FLEET,
    ),
]
By = Annotated[
    str, typer.Option("--by", help="Who wants it; it is kept.", default_factory=getpass.getuser)
]
Hours = Annotated[float, typer.Option(min=0.01, help="How long the claim can be used.")]
Plan = Annotated[
    Path | None, typer.Option(help="Rings, thresholds and windows; none: 1, 5 %, 25 %, all.")
]
Canary = Annotated[str | None, typer.Option(help="Glob of SITE/LINE/DEVICE to try it first.")]
Keys = Annotated[
    list[Path] | None, typer.Option("--key", help="A key to sign with; again for several.")
]


class LazyGroup(TyperGroup):
    """A group some of whose commands are imported when they are wanted.

    Starting one loads nothing that only the others need.
    places   command → `module:function`, or `module:group` by the Typer that it is
    """

    places: ClassVar[Mapping[str, str]] = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self.places]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self.places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            # Of a group's commands each may need another extra; the others stay of use.
            return stand_in(cmd_name, missing_extra(_top(ctx), error))
        return as_command(found, cmd_name)


def _top(ctx: click.Context) -> str:
    """The group just below the root in which a command is looked for; empty at the root."""
    names = []
    while ctx.parent is not None:
        names.append(ctx.info_name or "")
        ctx = ctx.parent
    return names[-1] if names else ""


def as_command(found: typer.Typer | Callable[..., Any], name: str) -> click.Command:
    """What a place or an entry point names, as click runs it."""
    group = found if isinstance(found, typer.Typer) else typer.Typer(add_completion=False)
    if group is not found:
        group.command()(found)
    command: click.Command = typer.main.get_command(group)
    command.name = name
    return command


def group(about: str, places: Mapping[str, str] | None = None) -> typer.Typer:
    """A group of commands; without one of them it prints its help. `places` as in LazyGroup."""
    # The root suggests and completes for all.
    made = typer.Typer(
        cls=type("Group", (LazyGroup,), {"places": places or {}}),
        no_args_is_help=True,
        add_completion=False,
        suggest_commands=False,
        help=about,
    )
    if places:
        made.callback()(lambda: None)
    return made


def discovered_groups() -> dict[str, EntryPoint]:
    """Command groups by name, from every installed package."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def missing_extra(group: str, error: ModuleNotFoundError) -> MissingExtra:
    """What to tell. Raises the error itself where what is missing is ours, or no group's."""
    if (error.name or "").partition(".")[0] in OWN_PACKAGES or group not in discovered_groups():
        raise error
    return MissingExtra(group, error)


def stand_in(name: str, missing: MissingExtra) -> click.Command:
    """A command that says which extra it needs, so that `--help` still lists the others."""

    def refuse(**_: Any) -> None:
        raise missing

    return click.Command(
        name,
        callback=refuse,
        help=escape(str(missing)),
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Around imports that only an extra brings. Raises MissingExtra where it is not installed."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(name, error) from error
