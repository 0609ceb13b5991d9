"""The command line as a whole: one meaning for each option, one place for each command."""

from __future__ import annotations

import re
from collections import defaultdict
from importlib.metadata import version

import click
import pytest
from typer.testing import CliRunner

from shared.commands.deprecations import RENAMED, current_spelling
from shared.commands.root import all_commands, app
from tests.support.commands import splitsight

COMMANDS = dict(all_commands())
PLACES = ("Local: ", "Network: ", "Cloud: ", "Local or cloud: ")
HERE = "http://127.0.0.1:8765"


def options() -> dict[str, list[tuple[str, click.Option]]]:
    """Every option by its long name, with the commands that have it."""
    found: dict[str, list[tuple[str, click.Option]]] = defaultdict(list)
    for path, command in COMMANDS.items():
        for option in command.params:
            if isinstance(option, click.Option):
                found[max(option.opts, key=len)].append((path, option))
    return found


def kind(option: click.Option) -> tuple[object, ...]:
    """What an option takes, whatever its limits are."""
    choices = tuple(option.type.choices) if isinstance(option.type, click.Choice) else ()
    name = "path" if "Path" in type(option.type).__name__ else option.type.name.split(" ")[0]
    return name.removesuffix("_range"), choices, option.is_flag, option.multiple, *option.opts


def meaning(option: click.Option) -> str:
    """Its help up to what is special to one command."""
    return re.split(r"[;.]", option.help or "")[0]


@pytest.mark.parametrize("name", sorted(options()))
def test_an_option_has_one_type_and_one_meaning_in_all_commands(name: str) -> None:
    having = options()[name]
    assert all(option.help for _, option in having), f"{name} has no help"
    kinds = {kind(option): path for path, option in having}
    assert len(kinds) == 1, kinds
    meanings = {meaning(option): path for path, option in having}
    assert len(meanings) == 1, meanings


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_a_commands_help_begins_with_where_it_acts(path: str) -> None:
    command = COMMANDS[path]
    text = command.help or ""
    assert text.startswith(PLACES)
    clouds = [p.default for p in command.params if "--cloud" in p.opts]
    if clouds == [HERE] and not text.startswith("Local or cloud"):
        assert text.startswith("Cloud: ")
    if not clouds:
        assert text.startswith(("Local: ", "Network: "))


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_a_command_lives_in_the_cli_of_its_wing_or_in_a_module_of_its_name(path: str) -> None:
    callback = COMMANDS[path].callback
    assert callback is not None
    assert callback.__module__.rpartition(".")[2] in {"cli", path.rsplit(maxsplit=1)[-1]}


@pytest.mark.process
@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_that_of_the_package(option: str) -> None:
    ended = splitsight(option)
    assert (ended.code, ended.stdout) == (0, f"splitsight {version('splitsight')}\n")


@pytest.mark.parametrize(
    ("path", "old", "new"), [(p, *pair) for p, names in RENAMED.items() for pair in names.items()]
)
def test_an_old_spelling_stands_for_an_option_that_is_there(
    path: tuple[str, ...], old: str, new: str
) -> None:
    spellings = {name for p in COMMANDS[" ".join(path)].params for name in p.opts}
    assert new in spellings
    assert old not in spellings
    words, remarks = current_spelling(["-v", *path, f"{old}=1", old, "2", "--", old])
    assert words == ["-v", *path, f"{new}=1", new, "2", "--", old]
    assert remarks == [f"{old} is now {new}; the old name works in this release only"] * 2


def test_an_old_spelling_is_only_read_in_its_own_command() -> None:
    claim = ["fleet", "claim", "--site", "plant", "--device", "box"]
    assert current_spelling(claim) == (claim, [])
    assert current_spelling([]) == ([], [])


@pytest.mark.process
@pytest.mark.parametrize(
    ("line", "remarks"),
    [
        ("fleet install --site none.yaml --root r --dry-run", ["--site is now --config"]),
        (
            "fleet flash --image none.img --device card.img --site site.yaml --claim TOKEN",
            ["--device is now --disk", "--site is now --config"],
        ),
        ("fleet init --folder /dev/null/fleet --name cloud", ["--name is now --host"]),
        (
            "fleet release add --folder none --image root.sqfs --name root --version 1.2.0",
            ["--image is now --root-image", "--version is now --release-version"],
        ),
        (
            "cloud train --data none --out none --name elpv --version 1.2.0",
            ["--version is now --release-version"],
        ),
    ],
)
def test_what_guides_of_the_last_release_printed_still_works_and_says_so(
    line: str, remarks: list[str]
) -> None:
    ended = splitsight(*line.split())
    told = ended.stderr.splitlines()
    rest = "; the old name works in this release only"
    assert told[: len(remarks)] == [f"{remark}{rest}" for remark in remarks]
    # Understood: it ends where its files are missing, not at its spelling.
    assert ended.code not in {0, 2}
    assert told[len(remarks)].startswith("error: ")


@pytest.mark.parametrize("group", ["", "bundle", "cloud", "edge", "fleet", "fleet release", "sim"])
def test_a_group_alone_prints_its_help(group: str) -> None:
    ended = CliRunner().invoke(app, group.split(), prog_name="splitsight")
    assert ended.exit_code in {0, 2}
    assert f"Usage: splitsight {group}".strip() in ended.output
    assert "Commands" in ended.output


@pytest.mark.parametrize(
    ("line", "nearest"),
    [("edge run --cnfig x", "--config"), ("fleet rolout list", "rollout"), ("egde", "edge")],
)
def test_what_is_misspelt_is_answered_with_the_nearest(line: str, nearest: str) -> None:
    ended = CliRunner().invoke(app, line.split(), prog_name="splitsight")
    assert ended.exit_code == 2
    assert "Did you mean" in ended.stderr
    assert nearest in ended.stderr


@pytest.mark.process
def test_who_gives_no_command_reads_the_help_and_has_done_nothing_wrong() -> None:
    for words in ((), ("fleet", "rollout")):
        asked = splitsight(*words)
        assert asked.code == 0
        assert "Commands" in asked.stdout + asked.stderr
