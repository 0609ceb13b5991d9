"""`splitsight cloud data`: the pictures that training, calibration and tests are made of."""

from __future__ import annotations

from shared import command_options as option

app = option.group(
    "Data sets on disk.",
    {
        "check": "cloud.evaluation.survey.cli:check",
        "version": "cloud.datasets.versions.cli:app",
        "dispute": "cloud.evaluation.labels.cli:dispute",
    },
)
