"""What the release before printed in its guides: it still works, and says what it is called now.

A row may go one release after it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RENAMED: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("cloud", "certify"): {
        "--alpha": "--escape",
        "--system-alpha": "--escape",
        "--overkill": "--false-reject",
    },
    ("cloud", "train"): {"--version": "--release-version", "--rate": "--learning-rate"},
    ("demo",): {"--rate": "--parts-per-second", "--keep": "--keep-in"},
    ("sim", "demo"): {"--rate": "--parts-per-second", "--keep": "--keep-in"},
    ("sim", "run"): {"--keep": "--keep-in"},
    ("sim", "fleet"): {"--keep": "--keep-in"},
    ("sim", "rollout"): {"--keep": "--keep-in"},
    ("fleet", "init"): {"--name": "--host"},
    ("fleet", "flash"): {"--site": "--config", "--device": "--disk"},
    ("fleet", "boot"): {"--site": "--config", "--seconds": "--power-off-after"},
    ("fleet", "install"): {"--site": "--config"},
    ("fleet", "image", "build"): {"--root": "--root-image", "--key": "--image-key"},
    ("fleet", "release", "add"): {"--image": "--root-image", "--version": "--release-version"},
}


def current_spelling(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line in today's words, and a sentence for each word that was another."""
    names = [word for word in arguments if not word.startswith("-")]
    renamed = next((RENAMED[path] for path in RENAMED if names[: len(path)] == list(path)), {})
    words: list[str] = []
    remarks: list[str] = []
    for word in arguments:
        option, equals, value = word.partition("=")
        if option in renamed and "--" not in words:
            today = renamed[option]
            remarks.append(f"{option} is now {today}; the old name works in this release only")
            words.append(f"{today}{equals}{value}")
        else:
            words.append(word)
    return words, remarks
