"""Which revision of splitsight a training ran with."""

from __future__ import annotations

import subprocess
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
PATIENCE_S = 10


def code_revision() -> str:
    """The commit that this code was checked out from, with `+` behind it where it was changed.

    Empty for an installed release, whose version says it, and where there is no git.
    """
    # An installation may lie in somebody's own checkout, whose revision says nothing of ours.
    if _git("ls-files", "--error-unmatch", "cli.py") is None:
        return ""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}{'+' if changed else ''}" if commit else ""


def _git(*words: str) -> str | None:
    # Without its locks `status` writes no index: who only looks leaves nothing behind.
    command: list[str | Path] = ["git", "--no-optional-locks", "-C", PACKAGE, *words]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
