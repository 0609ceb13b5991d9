"""Where a search is kept: one database in one folder, and one process at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cloud.experiments.store import want_database
from shared import command_options as option
from shared.errors import ExperimentError, SettingsError
from shared.storage.lock import ProcessLock

if TYPE_CHECKING:
    from optuna import Study

NAME = "splitsight"
AT_RANDOM = 5


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """One search at a time: another would take up the trial that is running.

    Raises SettingsError where there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = ProcessLock(folder / "search.lock")
    except BlockingIOError as error:
        raise SettingsError(
            f"a search is already running in {folder}", fix="wait for it, or choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_study(path: Path, seed: int) -> Study:
    """The study in a database, made where there is none. Raises ExperimentError.

    seed    of what is drawn
    """
    with option.needs_extra("experiments"):
        import optuna  # noqa: PLC0415
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        want_database(path)
        storage = optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
        study = optuna.create_study(
            storage=storage,
            study_name=NAME,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
    except (sqlite3.Error, SQLAlchemyError, RuntimeError, OSError) as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        raise ExperimentError(
            f"the search in {path.parent} can't be used ({reason})",
            fix="see that it is yours to write, or choose another --out",
        ) from error
    # A start that goes on must not draw again what the first has drawn.
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=AT_RANDOM, seed=seed + len(study.trials)
    )
    return study
