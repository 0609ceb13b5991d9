"""Tails come and go while the service runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.inference.registry import TailRegistry
from shared.bundles.bundle import Bundle
from shared.errors import BundleError
from shared.plugins.services import ServedTail
from shared.runtime.settings import RuntimeSettings
from tests.bundles import make_bundle

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
