"""Tails come and go while the service runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.inference.registry import TailRegistry
from shared.bundles.bundle import Bundle, amend_bundle
from shared.errors import BundleError
from shared.plugins.services import ServedTail
from shared.runtime.settings import RuntimeSettings
from tests.bundles import make_bundle
from tests.shared.certification.test_promises import GATE, certificate

SETTINGS = RuntimeSettings(name="onnx")


@pytest.fixture
def larger(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "larger", height=96, width=96)


def test_a_tail_is_served_beside_the_others(bundle: Bundle, larger: Bundle) -> None:
    rack = TailRegistry([bundle.path], SETTINGS)
    before = rack[bundle.manifest.pair]
    assert rack.serve(larger.path) == ServedTail(larger.manifest.pair, larger.id)
    assert set(rack) == {bundle.manifest.pair, larger.manifest.pair}
    assert rack[bundle.manifest.pair] is before


def test_serving_what_is_served_keeps_the_tail_that_runs(bundle: Bundle) -> None:
    rack = TailRegistry([bundle.path], SETTINGS)
    before = rack[bundle.manifest.pair]
    rack.serve(bundle.path)
    assert rack[bundle.manifest.pair] is before


def test_a_bundle_that_can_not_be_served_changes_nothing(bundle: Bundle, larger: Bundle) -> None:
    rack = TailRegistry([bundle.path], SETTINGS)
    (larger.path / "tail.onnx").write_bytes(b"torn")
    with pytest.raises(BundleError):
        rack.serve(larger.path)
    assert rack.served() == [ServedTail(bundle.manifest.pair, bundle.id)]


def test_a_dropped_tail_is_gone_and_dropping_it_again_is_no_error(
    bundle: Bundle, larger: Bundle
) -> None:
    rack = TailRegistry([bundle.path, larger.path], SETTINGS)
    rack.drop(larger.manifest.pair)
    rack.drop(larger.manifest.pair)
    assert set(rack) == {bundle.manifest.pair}


def test_a_bundle_that_was_certified_anew_takes_the_place_of_its_pair(
    bundle: Bundle, tmp_path: Path
) -> None:
    rack = TailRegistry([bundle.path], SETTINGS)
    first, second = (
        amend_bundle(
            bundle,
            {
                "gate": GATE,
                "certificate": certificate(bundle).model_copy(update={"created": created}),
            },
            tmp_path / created[:10],
        )
        for created in ("2026-11-22T10:00:00Z", "2026-11-29T10:00:00Z")
    )
    pair = bundle.manifest.pair
    assert rack.serve(second.path) == ServedTail(pair, second.id)
    assert rack[pair].gate == GATE.gate
    # The one before, which a device may still run, does not come back.
    assert rack.serve(first.path) == ServedTail(pair, second.id)
