"""A search by Optuna, kept in one folder, that a kill costs an epoch and a failure a trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud.datasets.dataset import Dataset
from cloud.studies.budget import TimeBudget, TimeSpent
from cloud.studies.space import SearchSpace
from cloud.studies.study_store import open_study
from cloud.studies.trial import clear, run_trial
from shared.console import err
from shared.errors import SettingsError, TrainingError, said

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

DATABASE = "study.db"
MOST_FAILURES = 3
FACTS, USED, FOLDER, FAILED = "facts", "used_s", "folder", "failed"


class OptionStudy:
    """Trials of a search space: the more of the system's AUROC and the fewer kilobytes the better.

    A trial that a kill, Ctrl-C or the end of the budget has ended goes on at the next start.
    Raises ExperimentError where the folder's study can't be read, SettingsError where it is of
    other data or options.
    """

    def __init__(
        self, folder: Path, dataset: Dataset, space: SearchSpace, *, good_only: bool
    ) -> None:
        self._folder, self._dataset, self._space = folder, dataset, space
        self._good_only = good_only
        self._study = open_study(folder / DATABASE, space.base.seed)
        self._want_same()
        if not self._study.trials:
            self._study.enqueue_trial(space.start())

    @property
    def used_s(self) -> float:
        """Of all starts together."""
        return float(self._study.user_attrs.get(USED, 0.0))

    @property
    def trials(self) -> list[FrozenTrial]:
        """Those that came to an end, good or bad."""
        return [one for one in self._study.trials if one.values or FAILED in one.user_attrs]

    @property
    def best(self) -> list[FrozenTrial]:
        """Those that no other trial beats: as good in both figures, and better in one."""
        return sorted(self._study.best_trials, key=lambda trial: -trial.values[0])

    def go_on(self, seconds: float, most: int, tell: Callable[[float], None]) -> None:
        """Try until the time is over, or there are so many trials.

        seconds  in all, earlier starts included
        most     trials in all; 0: as many as there is time for
        tell     is given the seconds used, now and then
        Raises TrainingError where trials do nothing but fail.
        """

        def keep(used: float) -> None:
            self._study.set_user_attr(USED, used)
            tell(used)

        budget = TimeBudget(seconds, self.used_s, keep)
        tell(budget.used)
        self._take_up()
        while not budget.spent and (not most or len(self.trials) < most):
            try:
                self._try_one(budget)
            except TimeSpent:
                err.print("the budget is spent; with a larger one this trial goes on")
                return
            finally:
                budget.spend()
            self._want_success()

    def _try_one(self, budget: TimeBudget) -> None:
        from optuna.trial import TrialState  # noqa: PLC0415

        trial = self._study.ask(self._space.distributions())
        folder = self._folder / trial.user_attrs.get(FOLDER, f"trial-{trial.number}")
        trial.set_user_attr(FOLDER, folder.name)
        err.print(f"trial {trial.number}: {_shown(trial)}", highlight=False)
        try:
            figures = run_trial(
                self._dataset,
                self._space.options(trial.params),
                folder,
                budget,
                good_only=self._good_only,
            )
        except TimeSpent:
            raise
        except Exception as error:  # noqa: BLE001 - whatever options do to a training is theirs
            trial.set_user_attr(FAILED, said(error))
            self._study.tell(trial, state=TrialState.FAIL)
            err.print(f"trial {trial.number} failed: {said(error)}", highlight=False)
        else:
            self._study.tell(trial, list(figures))
            err.print(
                f"trial {trial.number}: system AUROC {figures.system_auroc:.4f}, "
                f"{figures.kilobytes:.2f} kB",
                highlight=False,
            )
        clear(folder)

    def _take_up(self) -> None:
        """Trials that were begun and never ended come next, each in its own folder."""
        from optuna.trial import TrialState  # noqa: PLC0415

        for one in self._study.get_trials(states=[TrialState.RUNNING]):
            self._study.tell(one.number, state=TrialState.FAIL)
            self._study.enqueue_trial(one.params, user_attrs={FOLDER: one.user_attrs[FOLDER]})

    def _want_success(self) -> None:
        last = self.trials[-MOST_FAILURES:]
        if len(last) == MOST_FAILURES and all(FAILED in one.user_attrs for one in last):
            raise TrainingError(
                f"{MOST_FAILURES} trials failed one after the other, the last with: "
                f"{last[-1].user_attrs[FAILED]}",
                fix="try `splitsight cloud train` with the same options first",
            )

    def _want_same(self) -> None:
        """A study compares trials; those of other data or options can't be compared."""
        facts = {
            "data": self._dataset.content_hash(),
            "options": self._space.base.plain(),
            "what": list(self._space.what),
            "good_only": self._good_only,
        }
        text = json.dumps(facts, sort_keys=True)
        kept = self._study.user_attrs.get(FACTS)
        if kept is None:
            self._study.set_user_attr(FACTS, text)
        elif kept != text:
            known: dict[str, Any] = json.loads(kept)
            other = [name for name, value in json.loads(text).items() if known.get(name) != value]
            raise SettingsError(
                f"the search in {self._folder} was begun with other {' and '.join(other)}",
                fix="go on with the same ones, or choose another --out",
            )


def _shown(trial: Trial | FrozenTrial) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.params.items()
    )
