"""The command `splitsight`: finds its groups by entry points, so each extra brings its own."""

from __future__ import annotations

import faulthandler
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Annotated, Any, ClassVar

import click
import typer
from rich.markup import escape

from shared import log
from shared.command_options import (
    LazyGroup,
    as_command,
    discovered_groups,
    missing_extra,
    stand_in,
)
from shared.commands.deprecations import current_spelling
from shared.console import err, print_text
from shared.errors import STOPPED_EXIT, SplitsightError
from shared.openmp import yield_early
from shared.redaction import KNOWN, redact

LEAVE_S = 30.0


class _RootGroup(LazyGroup):
    """The root's own commands, and those that entry points name; loaded when wanted."""

    places: ClassVar = {
        "bundle": "shared.bundles.cli:app",
        "doctor": "shared.commands.doctor:doctor",
    }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words, remarks = current_spelling(args)
        if not ctx.resilient_parsing:  # which is completion, where nobody reads remarks
            for remark in remarks:
                err.print(remark, markup=False, highlight=False, soft_wrap=True)
        return super().parse_args(ctx, words)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *discovered_groups()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        entry = discovered_groups().get(cmd_name)
        if own is not None or entry is None:
            return own
        try:
            return as_command(entry.load(), cmd_name)
        except ModuleNotFoundError as error:
            return stand_in(cmd_name, missing_extra(cmd_name, error))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            # What a command imports when it runs; an extra has the name of its group.
            raise missing_extra(ctx.invoked_subcommand or "", error) from error


def print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    """The installed release, and nothing else."""
    if wanted:
        print_text(f"splitsight {version('splitsight')}")
        raise typer.Exit


app = typer.Typer(
    cls=_RootGroup,
    no_args_is_help=True,
    suggest_commands=False,
    pretty_exceptions_enable=False,
    help="Split inference for vision inspection: features travel, pictures stay.\n\n"
    "A command's help begins with where it acts. Local: files, hardware and processes of this "
    "machine. Network: broker, gateway and devices of its settings. Cloud: the API at --cloud.",
)


@app.callback()
def root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", is_eager=True, callback=print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Set up what every command shares."""
    log.configure(level=10 if verbose else 20)


def run(command: Callable[[], Any]) -> int:  # noqa: PLR0911 - one for each kind of end
    """Run a command line; errors become one message on standard error and an exit code."""
    ended: Any = 0
    try:
        ended = command()
    except SplitsightError as error:
        err.print(f"[bold red]error:[/] {_escape(error.message)}", highlight=False)
        if error.fix:
            err.print(f"  [bold]do:[/] {escape(KNOWN.scrub(error.fix))}", highlight=False)
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        err.print("stopped")
        return STOPPED_EXIT
    except click.ClickException as error:
        error.show()
        # Whoever gives no command reads the help, and has done nothing wrong.
        return 0 if isinstance(error, click.exceptions.NoArgsIsHelpError) else error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        return 0
    except Exception:  # noqa: BLE001 - the last resort, so that a bug still ends in words
        sys.stderr.write(redact(traceback.format_exc()))
        err.print("[bold red]error:[/] this is a mistake in splitsight; please report it")
        return SplitsightError.exit_code
    # Typer hands back the code of its own exits, an interrupt's too, instead of raising them.
    if ended == STOPPED_EXIT:
        err.print("stopped")
    return ended if isinstance(ended, int) else 0


def _escape(text: str) -> str:
    return escape(redact(text))


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that is installed with its words, such as `edge run`."""
    command = typer.main.get_command(app)
    return _commands_below(command, (), click.Context(command))


def _commands_below(
    command: click.Command, words: tuple[str, ...], context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(words), command
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None:
            below = click.Context(child, parent=context)
            yield from _commands_below(child, (*words, name), below)


def main() -> None:
    """The console script."""
    yield_early()
    code = run(lambda: app(prog_name="splitsight", standalone_mode=False))
    if sys.__stderr__ is not None:
        # A thread that hangs, a plug-in's say, must not keep the process.
        faulthandler.dump_traceback_later(LEAVE_S, exit=True, file=sys.__stderr__)
    sys.exit(code)
