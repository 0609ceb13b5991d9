"""`python -m tests.fuzz.engine TARGET FOLDER [libFuzzer's options] CORPUS`: fuzz one target."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import atheris
import cv2
import structlog

with atheris.instrument_imports(
    include=["shared", "edge", "cloud", "fleet"], enable_loader_override=False
):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    # What is refused is logged, thousands of times a second.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    name, folder, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], TARGETS[name].make(Path(folder)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
