"""A data set as commands read it: by the same options, and with its account told."""

from __future__ import annotations

from cloud.datasets.builder import ReadOptions
from cloud.datasets.dataset import Dataset
from cloud.datasets.likeness import SamePart
from cloud.datasets.readers import survey
from cloud.survey.account_lines import file_lines
from shared.console import err


def read_options(seed: int, data_format: str, same_part: str, *, skip_bad: bool) -> ReadOptions:
    """What the command line says of reading. Every picture is opened, so that one that is damaged
    is named, or left out, before anything is computed.

    Raises SettingsError for another --same-part than there is.
    """
    return ReadOptions(seed, data_format, skip_bad, SamePart(same_part), look=True)


def read_to_judge(source: str, options: ReadOptions) -> Dataset:
    """The data set, read as training reads it, and on the terminal what became of its files.

    Raises DataError where no reader knows the form, and for all that is wrong, together.
    """
    found = survey(source, options)
    for line in file_lines(found):
        err.print(line, highlight=False, markup=False, soft_wrap=True)
    return found.dataset
