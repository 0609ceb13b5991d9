"""Agreement beyond chance."""

from __future__ import annotations

import random

import pytest

from cloud.statistics.kappa import cohens_kappa, wilson


def table(both: int, first: int, second: int, neither: int) -> list[tuple[bool, bool]]:
    return [
        *[(True, True)] * both,
        *[(True, False)] * first,
        *[(False, True)] * second,
        *[(False, False)] * neither,
    ]


# Worked by hand: agreement 0.7, by chance 0.5.
def test_kappa_is_what_the_definition_says() -> None:
    found = cohens_kappa(table(20, 5, 10, 15))
    assert (found.pairs, found.agreed) == (50, 35)
    assert found.kappa == pytest.approx(0.4)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.4 < found.high


@pytest.mark.parametrize(
    ("said", "kappa"),
    [
        (table(5, 0, 0, 5), 1.0),
        (table(0, 5, 5, 0), -1.0),
        (table(25, 25, 25, 25), 0.0),
        (table(9, 0, 0, 0), None),
        ([], None),
    ],
)
def test_perfect_chance_and_no_agreement(
    said: list[tuple[bool, bool]], kappa: float | None
) -> None:
    found = cohens_kappa(said)
    assert found.kappa == (None if kappa is None else pytest.approx(kappa))
    # Ten pairs prove no perfect agreement.
    assert found.low is None or found.low < 1.0


def test_the_interval_covers_the_true_kappa_as_often_as_it_says() -> None:
    draw = random.Random(7)  # noqa: S311 - a simulation
    # Both say defective of half, and agree on nine of ten: κ is 0.8.
    covered = 0
    for _ in range(400):
        said = []
        for _ in range(80):
            one = draw.random() < 0.5
            said.append((one, one if draw.random() < 0.9 else not one))
        found = cohens_kappa(said)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.8 <= found.high
    assert 0.92 < covered / 400 < 0.99


# Wilson's interval of 0 and of all of 10, as tables have it.
def test_an_interval_of_a_share_stays_within_0_and_1() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
