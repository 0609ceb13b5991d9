"""The commands that README and guides show, read out of their code blocks.

A block of commands is fenced as `sh` (each line is one) or `console` (a line after `$ ` is one, the
others are what it prints), and the comment above it says who runs it:

    <!-- run: edge -->                                     after `pip install '.[edge]'`
    <!-- run: edge,learn; without: edge run (why) -->      but those that begin so
    <!-- run: learn; where NAME is candidate: (.+) -->     NAME is what an earlier one printed
    <!-- not run: why -->

A `yaml` block whose first line is `# NAME.yaml` is that file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = ("sh", "console")
MARK = re.compile(r"^<!-- (?:run: (?P<run>[a-z,]+)(?P<more>;.*)?|not run: (?P<why>.+)) -->$")
LEFT_OUT = re.compile(r"([^,;()]+) \([^()]+\)")
NAMED = re.compile(r"where (\S+) is (.+)")


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    line    of the page where it begins
    fails   what it prints is an error, as the page shows it
    """

    text: str
    line: int
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Commands that are run one after the other in one shell.

    extras    that are installed; none where the block is not run
    why       it is not run, or nobody said what to do with it: ""
    named     what a name in the page stands for: a pattern of what an earlier command printed
    """

    page: Path
    line: int
    extras: tuple[str, ...]
    why: str
    steps: tuple[Step, ...]
    named: dict[str, str] = field(default_factory=dict)


def pages() -> list[Path]:
    """README and every guide."""
    return [
        ROOT / "README.md",
        *sorted(ROOT.glob("docs/guides/**/*.md")),
        ROOT / "docs/federated.md",
    ]


def fences(page: Path) -> Iterator[tuple[int, str, str, list[str]]]:
    """(line of the fence, its language, the line above it, what is in it) of each code block."""
    opened: tuple[int, str, str] | None = None
    above, inside = "", list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            if opened is None:
                opened, inside = (number, line.strip()[3:], above), []
            else:
                yield (*opened, inside)
                opened = None
        elif opened is not None:
            inside.append(line)
        above = line


def blocks(page: Path) -> list[Block]:
    """Its commands, in their order."""
    found = []
    for number, language, above, inside in fences(page):
        if language in COMMANDS:
            mark = MARK.match(above)
            steps = tuple(_steps(inside, number + 1, prompted=language == "console"))
            if mark is None or mark["why"]:
                found.append(Block(page, number, (), mark["why"] if mark else "", steps))
                continue
            more = mark["more"] or ""
            out = [prefix.strip() for prefix in LEFT_OUT.findall(more.partition("without: ")[2])]
            kept = tuple(step for step in steps if not _begins(step.text, out))
            named = dict(NAMED.findall(more))
            found.append(Block(page, number, tuple(mark["run"].split(",")), "", kept, named))
    return found


def files(page: Path) -> dict[str, str]:
    """The files that the page shows, by name."""
    found = {}
    for _, language, _, inside in fences(page):
        name = re.match(r"# (\S+\.yaml)\b", inside[0]) if inside else None
        if language == "yaml" and name:
            found[name[1]] = "\n".join(inside) + "\n"
    return found


def _begins(command: str, prefixes: Sequence[str]) -> bool:
    bare = command.removeprefix(".venv/bin/").removeprefix("splitsight ")
    return any(command.startswith(prefix) or bare.startswith(prefix) for prefix in prefixes)


def _steps(lines: Sequence[str], first: int, *, prompted: bool) -> Iterator[Step]:
    number = 0
    while number < len(lines):
        begun, text = number, lines[number].removeprefix("$ ")
        command = not prompted or lines[number].startswith("$ ")
        number += 1
        while command and text.endswith("\\") and number < len(lines):
            text = text[:-1] + lines[number].strip()
            number += 1
        if command and text.strip() and not text.startswith("#"):
            fails = prompted and number < len(lines) and lines[number].startswith("error:")
            yield Step(text.strip(), first + begun, fails)
