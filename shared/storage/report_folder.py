"""The folder that a report goes to."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from shared.errors import MissingExtra, SettingsError
from shared.telemetry import keep_fonts_aside


def prepare_report(folder: Path, extra: str) -> None:
    """Make the folder before minutes of work, not after them.

    extra   that brings what the report's charts are drawn with
    Raises MissingExtra without it, SettingsError where the folder can't be made.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtra(extra, ImportError(name="matplotlib"))
    keep_fonts_aside()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"no report can be written to {folder} ({error.strerror})", fix="give another folder"
        ) from error
