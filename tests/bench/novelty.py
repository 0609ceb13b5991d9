"""Pictures of what the shipped bundle was not made for: how many pass, and what the check takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.pictures import decode
from cloud.datasets.readers import read
from cloud.evaluation.judgements import ask, open_tail
from edge.inspection.inspector import Inspector, load_head
from shared.bundles.bundle import Bundle
from shared.contracts import Decision, Frame
from shared.features.transmission import received
from shared.runtime.base import RuntimeOptions

OTHERS = "SPLITSIGHT_OTHER_PICTURES"
"""Data sets of other products, as `--data` takes them, separated by colons."""
MOST = 400
Pixels = NDArray[np.uint8]
ROUNDS = 2000


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """One row a kind of picture, and one with the times; shares in 0–1."""
    del folder
    bundle = Bundle.open(bundle_path)
    judge = _Judge(bundle)
    rows = [judge.row(kind, pictures) for kind, pictures in _kinds(bundle)]
    return [*rows, judge.times()]


def _kinds(bundle: Bundle) -> Iterator[tuple[str, Sequence[Pixels]]]:
    rng = np.random.default_rng(0)
    channels = bundle.manifest.input.channels
    cells = [decode(one.image, channels) for one in read("elpv").of("test").samples]
    yield "the product's own test cells", cells
    for name in filter(None, os.environ.get(OTHERS, "").split(":")):
        samples = read(name).samples
        chosen = rng.permutation(len(samples))[:MOST]
        yield Path(name).name, [decode(samples[one].image, channels) for one in chosen]
    shape = cells[0].shape
    dark = [rng.normal(0, spread, shape).clip(0, 255) for spread in np.linspace(0, 4, 20)]
    yield "black, with a sensor's noise", [np.asarray(one, np.uint8) for one in dark]
    yield "white, with a sensor's noise", [np.asarray(255 - one, np.uint8) for one in dark]
    noise = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(50)]
    yield "uniform noise", noise
    altered: dict[str, Callable[[Pixels], Pixels]] = {
        "blurred, σ 3 of 300 pixels": lambda one: _blurred(one, 3),
        "blurred, σ 6": lambda one: _blurred(one, 6),
        "blurred, σ 12": lambda one: _blurred(one, 12),
        "blurred, σ 24": lambda one: _blurred(one, 24),
        "a quarter turn": lambda one: np.ascontiguousarray(np.rot90(one)),
        "a half turn": lambda one: np.ascontiguousarray(np.rot90(one, 2)),
        "a quarter turn back": lambda one: np.ascontiguousarray(np.rot90(one, 3)),
        "moved by a fifth": lambda one: np.asarray(np.roll(one, one.shape[1] // 5, 1), np.uint8),
        "lamp at a third": lambda one: np.asarray(one // 3, np.uint8),
    }
    for kind, change in altered.items():
        yield f"test cells, {kind}", [change(one) for one in cells]


def _blurred(pixels: Pixels, spread: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), spread), np.uint8)


class _Judge:
    """Box and cloud of one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._head = load_head(bundle, "auto", RuntimeOptions(threads=1)).runtime
        self._tail = open_tail(bundle, "auto", 1)
        manifest = bundle.manifest
        self._gate = manifest.gate.gate
        shape = manifest.input.shape
        self._box = Inspector(self._head, bundle.codec, self._gate, shape, bundle.novelty)

    def row(self, kind: str, pictures: Sequence[Pixels]) -> dict[str, object]:
        gate, novelty, codec = self._gate, self._bundle.novelty, self._bundle.codec
        cap = self._bundle.manifest.features.cap_bytes
        found = [self._box.look(Frame(one, n, 0.0, 0.0)) for n, one in enumerate(pictures)]
        symbols = np.stack([one.symbols for one in found])
        coarseness = [codec.encode_within(one, cap).coarseness for one in symbols]
        arrived = received(codec, symbols, coarseness)
        tail = ask(self._tail, arrived, kind).scores
        scores = [gate.cloud_score(f.score, t) for f, t in zip(found, tail.tolist(), strict=True)]
        cloud = np.array([gate.conclude(one) == "pass" for one in scores])
        strange = novelty.novel(arrived) if novelty else np.zeros(len(arrived), bool)
        by_score = [gate.decide(one.score) for one in found]
        asked = np.array([one.decision == Decision.ESCALATE for one in found])
        passed = np.array([one.decision == Decision.PASS for one in found])
        return {
            "pictures": kind,
            "n": len(found),
            "novel": float(np.mean([one.novelty > 1 for one in found])),
            "not passed": 1 - float(np.mean(passed | (asked & cloud & ~strange))),
            "not passed without the check": 1
            - float(
                np.mean(
                    [
                        one == Decision.PASS or (one == Decision.ESCALATE and bool(answer))
                        for one, answer in zip(by_score, cloud, strict=True)
                    ]
                )
            ),
            "sent coarser": float(np.mean(np.array(coarseness) > 1)),
        }

    def times(self) -> dict[str, object]:
        """Milliseconds of a look at one picture, median: of the head, and of the check."""
        novelty, picture = self._bundle.novelty, self._bundle.golden.inputs[:1]
        symbols = self._bundle.golden.symbols[0]
        head = _median_ms(lambda: self._head.run(picture))
        check = _median_ms(lambda: novelty.distance(symbols)) if novelty else 0.0
        return {"pictures": "time", "head_ms": head, "check_ms": check, "share": check / head}


def _median_ms(run: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return float(np.median(times)) * 1000
