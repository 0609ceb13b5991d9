"""A bundle and a line of parts for those who judge one by the other."""

from __future__ import annotations

import pytest

from cloud.datasets.dataset import Dataset
from shared.bundles.bundle import Bundle
from tests.bundles import make_bundle
from tests.cloud.evaluation.judged import line_of_parts


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return line_of_parts(tmp_path_factory.mktemp("line"))
