"""Options that several commands have: one name, one type, one meaning in every command.

A help text says the meaning up to its first `;`, and what is special to one command after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

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


def command_group(about: str) -> typer.Typer:
    """A group of commands; without one of them it prints its help."""
    # The root suggests and completes for all.
    return typer.Typer(
        no_args_is_help=True, add_completion=False, suggest_commands=False, help=about
    )


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Around imports that only an extra brings. Raises MissingExtra where it is not installed."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(name, error) from error
