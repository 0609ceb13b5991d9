"""ε against the exact value of the Gaussian mechanism; the budget; what settings allow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import brentq
from scipy.stats import norm

from fleet.rounds.configuration.accountant import Accountant, BudgetSpent
from fleet.rounds.configuration.privacy import PrivacySettings, what_is_seen, with_noise
from shared.errors import FederationError


def exact(noise: float, rounds: int, delta: float) -> float:
    """Balle and Wang 2018, theorem 8; rounds of Gaussian noise are one with noise / √rounds."""
    mu = math.sqrt(rounds) / noise

    def excess(epsilon: float) -> float:
        above = norm.cdf(mu / 2 - epsilon / mu)
        return float(above - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu) - delta)

    return float(brentq(excess, 0, 200))


def loosest(noise: float, rounds: int, delta: float) -> float:
    """Mironov 2017: Rényi's bound with its plain conversion, at the best real order."""
    mu = math.sqrt(rounds) / noise
    return mu**2 / 2 + mu * math.sqrt(2 * math.log(1 / delta))


@pytest.mark.parametrize("noise", [0.8, 1.0, 2.0, 6.0])
@pytest.mark.parametrize("rounds", [1, 10, 40])
def test_epsilon_lies_between_the_exact_value_and_the_plain_bound(
    noise: float, rounds: int
) -> None:
    epsilon = Accountant(noise, 1e-5).epsilon(rounds)
    assert exact(noise, rounds, 1e-5) <= epsilon <= loosest(noise, rounds, 1e-5) + 1e-9
    assert epsilon <= 1.2 * exact(noise, rounds, 1e-5)


def test_the_exact_value_is_the_published_one() -> None:
    assert exact(1.0, 1, 1e-5) == pytest.approx(4.377, abs=1e-3)


@given(st.floats(0.5, 20), st.integers(1, 30))
def test_epsilon_grows_with_rounds_and_falls_with_noise_and_delta(noise: float, more: int) -> None:
    here = Accountant(noise, 1e-5)
    assert 0 < here.epsilon(more) < here.epsilon(more + 1)
    assert Accountant(noise * 1.1, 1e-5).epsilon(more) < here.epsilon(more)
    assert Accountant(noise, 1e-6).epsilon(more) > here.epsilon(more)


def test_nothing_was_told_before_the_first_round_and_all_without_noise() -> None:
    assert Accountant(1.0, 1e-5).epsilon(0) == 0
    assert Accountant(0.0, 1e-5).epsilon(1) == math.inf


@given(st.floats(1, 10), st.floats(0.5, 20))
def test_the_budget_ends_a_run_before_it_is_exceeded(noise: float, budget: float) -> None:
    accountant = Accountant(noise, 1e-5, budget)
    allowed = accountant.rounds(most=200)
    assert accountant.epsilon(allowed) <= budget
    if allowed:
        assert accountant.check(allowed - 1) <= budget
    if allowed < 200:
        with pytest.raises(BudgetSpent, match=f"after {allowed} rounds"):
            accountant.check(allowed)


@given(st.integers(1, 40), st.floats(0, 1))
def test_noise_has_the_standard_deviation_that_is_counted(devices: int, rounding: float) -> None:
    settings = PrivacySettings(noise=2.0, clip=3.0)
    noisy = with_noise(np.zeros(20_000), settings, devices, rounding=rounding, seed=1)
    assert np.std(noisy) == pytest.approx(2.0 * (3.0 + rounding) / devices, rel=0.03)


def test_noise_differs_each_time() -> None:
    settings = PrivacySettings(noise=2.0)
    first, second = (with_noise(np.zeros(8), settings, 3) for _ in range(2))
    assert not np.array_equal(first, second)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="what `secure_aggregation: false` turns off"):
        PrivacySettings(secure_aggregation=False, require_secure_aggregation=True)
    with pytest.raises(ValidationError, match="a budget needs noise"):
        PrivacySettings(budget=3.0)


def test_what_the_server_sees_depends_on_settings_and_devices() -> None:
    assert what_is_seen(PrivacySettings(), 3).sums_only
    assert not what_is_seen(PrivacySettings(), 2).sums_only
    assert not what_is_seen(PrivacySettings(secure_aggregation=False), 9).sums_only
    with pytest.raises(FederationError, match="3 are needed"):
        what_is_seen(PrivacySettings(require_secure_aggregation=True), 2)
