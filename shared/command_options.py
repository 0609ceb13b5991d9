"""Options that several commands have, and their groups: one name, one type, one meaning each.

A help text says the meaning up to its first `;`, and what is special to one command after it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar

import click
import typer
from typer.core import TyperGroup

from shared.console import Format
from shared.errors import MissingExtra

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="YAML file of settings.")]
BundleOption = Annotated[Path, typer.Option("--bundle", "-b", help="A bundle; folder or zip.")]
FormatOption = Annotated[Format, typer.Option("--format", help="For people or for programs.")]
RuntimeOption = Annotated[str, typer.Option(help="What computes; auto, openvino or onnx.")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="Processor threads; 0: the runtime's.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of every random choice.")]
DataOption = Annotated[
    str, typer.Option(help="Pictures; a folder, a CSV manifest, or `elpv`.", show_default=False)
]
SplitOption = Annotated[str, typer.Option(help="Which of them; train, calibrate or test.")]
ReportOption = Annotated[Path | None, typer.Option(help="Folder for report.html and more.")]
KeepOption = Annotated[Path | None, typer.Option(help="Folder in which to keep logs and data.")]
PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="Of the cloud's pages; 0: any free one.")
]
BrokerPortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="Of the broker; 0: any free one.")
]
EveryOption = Annotated[
    float, typer.Option(min=0.01, max=3600, help="Seconds between a device's parts.")
]
EscalatedOption = Annotated[float, typer.Option(min=0, max=1, help="Share of parts, 0 to 1.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


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
        return as_command(getattr(import_module(module), attribute), cmd_name)


def as_command(found: typer.Typer | Callable[..., Any], name: str) -> click.Command:
    """What a place or an entry point names, as click runs it."""
    group = found if isinstance(found, typer.Typer) else typer.Typer(add_completion=False)
    if group is not found:
        group.command()(found)
    command: click.Command = typer.main.get_command(group)
    command.name = name
    return command


def command_group(about: str, places: Mapping[str, str] | None = None) -> typer.Typer:
    """A group of commands; without one of them it prints its help. `places` as in LazyGroup."""
    # The root suggests and completes for all.
    group = typer.Typer(
        cls=type("Group", (LazyGroup,), {"places": places or {}}),
        no_args_is_help=True,
        add_completion=False,
        suggest_commands=False,
        help=about,
    )
    if places:
        group.callback()(lambda: None)
    return group


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Around imports that only an extra brings. Raises MissingExtra where it is not installed."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(name, error) from error
