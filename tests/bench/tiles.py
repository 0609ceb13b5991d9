"""Pictures in tiles: what they cost beside the bare head, and what they find beside a small one."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset, Sample, Split
from cloud.datasets.masks import MaskFiles
from cloud.evaluation.judgements import judge
from cloud.statistics.metrics import auroc
from cloud.training.assembly import assemble
from cloud.training.options import Options
from cloud.training.trainer import Trainer
from hardware_sim.processes.child import splitsight
from shared.bundles.bundle import Bundle
from shared.features.pixel_settings import AS_IT_IS, PixelSettings, TileSettings
from shared.features.tiling import tiles_of
from shared.loopback import free_port
from shared.splitnet.network import Architecture
from tests.bench.agent import head_rate

HEIGHT, WIDTH = 4000, 6000
LARGE = TileSettings(height=320, width=320, overlap=32)
PICTURES, PARTS, ROUNDS = 3, 5, 2

SIDE = 64
SMALL = TileSettings(height=SIDE, width=SIDE, overlap=16)
SCENE = (384, 512)
EPOCHS = 3
SETS: dict[Split, int] = {"train": 32, "calibrate": 24, "test": 80}


def measure_speed(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """24 megapixels through the whole agent, from its file to its journaled verdict, beside the sum
    of its tiles through the bare head; one thread, medians of interleaved rounds."""
    del bundle_path
    bundle = _trained(_scenes(folder / "few", {"train": 4, "calibrate": 4}, 320), folder, 320, 1)
    pictures = folder / "large"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = random.normal(120, 6, (HEIGHT, WIDTH)).clip(0, 255).astype(np.uint8)
        path = pictures / f"{number}.jpg"
        assert cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
    tiles = len(tiles_of(HEIGHT, WIDTH, LARGE))
    rows: list[dict[str, object]] = []
    for name in ("onnx", "openvino"):
        pairs = [
            (1 / head_rate(bundle, name), _part_s(bundle, folder / f"{name}-{n}", name, pictures))
            for n in range(ROUNDS)
        ]
        head, part = (float(np.median(column)) for column in zip(*pairs, strict=True))
        rows.append(
            {
                "runtime": name,
                "tiles": tiles,
                "head_ms": head * 1000,
                "part_s": part,
                "ratio": tiles * head / part,
                "wanted_ratio": 0.85,
                "cap_bytes": bundle.manifest.features.cap_bytes,
            }
        )
    return rows


def measure_quality(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Scratches of a few pixels on pictures of 512 × 384: a network of 64 × 64 that sees each made
    small, and the same that sees it in tiles."""
    del bundle_path
    # What runs beside it would wait for more.
    torch.set_num_threads(2)
    dataset = _scenes(folder / "scenes", SETS, 0)
    test = dataset.of("test")
    rows: list[dict[str, object]] = []
    for name, tiles in (("made small", None), ("in tiles", SMALL)):
        bundle = _trained(dataset, folder / name.replace(" ", "-"), SIDE, EPOCHS, tiles)
        found = judge(bundle, test)
        gate = bundle.manifest.gate.gate
        asked = (found.edge >= gate.pass_below) & (found.edge < gate.reject_from)
        rows.append(
            {
                "pictures": name,
                "edge_auroc": auroc(found.edge, test.labels),
                "system_auroc": auroc(found.cloud, test.labels),
                "escalated": float(asked.mean()),
                "bytes_p50": float(np.median(found.encoded)),
            }
        )
    return rows


def _trained(
    dataset: Dataset,
    folder: Path,
    side: int,
    epochs: int,
    tiles: TileSettings | None = LARGE,
) -> Bundle:
    options = Options(
        architecture=Architecture(height=side, width=side),
        epochs=epochs,
        tail_epochs=min(epochs, 2),
        bottleneck_epochs=min(epochs, 3),
        pixels=AS_IT_IS if tiles is None else PixelSettings(depth=8, tiles=tiles),
    )
    trainer = Trainer(dataset, options, folder / "run")
    return assemble(
        trainer.fit(), dataset, trainer, folder / "bundle", name="tiles", version="1.0.0"
    )


def _scenes(folder: Path, counts: dict[Split, int], side: int) -> Dataset:
    """Every second part has a scratch. `side`: of pictures that are one tile; 0: of many."""
    folder.mkdir(parents=True)
    samples: list[Sample] = []
    for split, count in counts.items():
        for number in range(count):
            defective = number % 2 == 1
            seed = len(samples)
            pixels, scratch = _scene(seed, (side, side) if side else SCENE, defective=defective)
            image, mask = folder / f"{seed:03}.png", folder / f"{seed:03}-mask.png"
            assert cv2.imwrite(str(image), pixels)
            assert cv2.imwrite(str(mask), scratch)
            kind = "scratch" if defective else "good"
            marked = MaskFiles((mask,)) if defective else None
            target = float(defective)
            samples.append(Sample(image, marked, kind, target, image.stem, "all", split))
    return Dataset("scenes", "none", tuple(samples))


def _scene(
    seed: int, size: tuple[int, int], *, defective: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Shaded and grainy, and the mask of its scratch, 10 px long and 2 wide."""
    random = np.random.default_rng(seed)
    height, width = size
    down, across = np.mgrid[0:height, 0:width] / SIDE
    a, b, c = random.uniform(0.2, 1, 3)
    picture = 120 + 25 * np.sin(a * across + b * down + 6 * c)
    picture += random.normal(0, 6, size)
    scratch = np.zeros(size, np.uint8)
    if defective:
        x, y = random.integers(20, width - 20), random.integers(20, height - 20)
        angle = random.uniform(0, np.pi)
        end = int(x + 10 * np.cos(angle)), int(y + 10 * np.sin(angle))
        cv2.line(scratch, (int(x), int(y)), end, 255, 2)
        picture[scratch > 0] -= 60
    return np.asarray(picture.clip(0, 255), np.uint8), scratch


def _part_s(bundle: Bundle, folder: Path, runtime: str, pictures: Path) -> float:
    """Seconds of a part, from the first to the last that the agent inspects."""
    folder.mkdir()
    settings = {
        "site": "bench",
        "line": "one",
        "device": "box",
        "bundle": str(bundle.path.resolve()),
        "broker": {"port": free_port()},
        "camera": {"kind": "folder", "path": str(pictures), "loop": True, "limit": PARTS},
        "actuator": {"kind": "log"},
        # Everything is decided at the edge: what an escalation costs is measured elsewhere.
        "gate": {"pass_below": 0.5, "reject_from": 0.5},
        "runtime": {"name": runtime, "threads": 1},
        "journal": {"path": str(folder / "journal.db")},
        "deadline_ms": 600_000,
    }
    config = folder / "edge.yaml"
    config.write_text(yaml.safe_dump(settings))
    with (folder / "log").open("wb") as log:
        command = splitsight("edge", "run", "--config", str(config))
        ended = subprocess.run(command, stderr=log, timeout=600, check=False)
    if ended.returncode != 0:
        raise RuntimeError((folder / "log").read_text()[-500:])
    with sqlite3.connect(folder / "journal.db") as journal:
        first, last, count, judged = journal.execute(
            "SELECT min(inspected_at), max(inspected_at), count(*), sum(decided_by = 'edge') "
            "FROM inspections"
        ).fetchone()
    assert (count, judged) == (PARTS, PARTS)
    return float(last - first) / (PARTS - 1)
