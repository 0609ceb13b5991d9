"""Parts to judge, and judgements made up of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cloud.datasets.dataset import Dataset, Sample
from cloud.datasets.masks import MaskFiles
from cloud.evaluation.judgements import Judgements
from tests.bundles import BAD, GOOD, MIDDLE, UNSURE_BAD, UNSURE_GOOD, picture
from tests.cloud.datasets.makers import sample, save

PLACES = 8


def judgements(
    edge: Sequence[float],
    cloud: Sequence[float],
    encoded: Sequence[int] | None = None,
    kinds: NDArray[np.float32] | None = None,
) -> Judgements:
    """What some bundle of 64 × 64 pictures may have said; its maps see nothing."""
    count = len(edge)
    sizes = np.array(encoded if encoded is not None else [100] * count)
    nothing = np.full((count, PLACES, PLACES), 0.01, np.float32)
    return Judgements(
        edge=np.array(edge, np.float64),
        cloud=np.array(cloud, np.float64),
        encoded=sizes,
        jpeg=sizes * 3,
        coarseness=np.ones(count, np.int64),
        symbols=np.zeros((count, 4, 4, 4), np.int8),
        arrived=np.zeros((count, 4, 4, 4), np.int8),
        edge_maps=list(nothing),
        cloud_maps=list(nothing),
        kinds=kinds,
        sizes=np.full((count, 2), 64),
        spoke=np.full(count, -1),
        summaries=np.zeros((count, 8), np.float32),
        shown_by=np.arange(count),
    )


def labelled(
    labels: Sequence[bool], parts: Sequence[str] | None = None, kinds: Sequence[str] | None = None
) -> Dataset:
    """Samples without pictures, each a part of its own where none is named."""
    names = parts if parts is not None else [str(n) for n in range(len(labels))]
    samples = [
        sample(Path(f"/{n}.png"), part=name, split="test", target=float(bad))
        for n, (bad, name) in enumerate(zip(labels, names, strict=True))
    ]
    if kinds is not None:
        samples = [replace(one, defect=kind) for one, kind in zip(samples, kinds, strict=True)]
    return Dataset("made up", "none", tuple(samples))


def shades(folder: Path, *wanted: tuple[int, bool]) -> Dataset:
    """Pictures of these brightnesses and labels, as `tests.bundles` judges them."""
    samples = []
    for n, (shade, bad) in enumerate(wanted):
        pixels = picture(shade)
        # One picture can't be good and defective: a pixel tells them apart.
        pixels[0, 0] = n
        image = save(folder / f"{n}.png", pixels)
        samples.append(sample(image, part=str(n), split="test", target=float(bad)))
    return Dataset("shades", "none", tuple(samples))


def line_of_parts(folder: Path, count: int = 24) -> Dataset:
    """Every fourth part is defective, and one of each kind is misjudged. Masks are known."""
    good, bad = (GOOD, UNSURE_GOOD, GOOD, GOOD), (BAD, UNSURE_BAD, BAD)
    wanted = [(bad[n % 3], True) if n % 4 == 0 else (good[n % 4], False) for n in range(count - 2)]
    dataset = shades(folder, *wanted, (UNSURE_GOOD, True), (UNSURE_BAD, False))
    return replace(dataset, samples=tuple(_masked(folder, one) for one in dataset.samples))


def _masked(folder: Path, one: Sample) -> Sample:
    if not one.defective:
        return one
    mask = np.zeros((64, 64), np.uint8)
    side = 4 if int(one.part) % 8 == 0 else 20
    mask[8 : 8 + side, 8 : 8 + side] = 255
    return replace(one, mask=MaskFiles((save(folder / "masks" / one.image.name, mask),)))


def manifest(folder: Path, dataset: Dataset) -> Path:
    """The data set as a CSV that `--data` takes."""
    masks = [s.mask.files[0] if s.mask else "" for s in dataset.samples]
    rows = [
        f"{s.image},{mask},{s.defect},{s.part},{s.split}"
        for s, mask in zip(dataset.samples, masks, strict=True)
    ]
    path = folder / "parts.csv"
    path.write_text("\n".join(["image,mask,defect,part,split", *rows]))
    return path


def pixels_model(
    *, name: str = "picture", outputs: Sequence[str] = ("map", "score"), side: int = 64
) -> bytes:
    """A cloud model on pixels that goes by brightness: surer than the tiny bundle's tail."""
    nodes = [
        helper.make_node("Cast", [name], ["raw"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["raw", "middle"], ["centred"]),
        helper.make_node(
            "AveragePool", ["centred"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]
        ),
        helper.make_node("Sigmoid", ["pooled"], [outputs[0]]),
        helper.make_node("ReduceMean", ["centred", "all"], ["mean"], keepdims=0),
        helper.make_node("Sigmoid", ["mean"], [outputs[1]]),
    ]
    graph = helper.make_graph(
        nodes,
        "pixels",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, ["n", 1, side, side])],
        [
            helper.make_tensor_value_info(
                outputs[0], TensorProto.FLOAT, ["n", 1, side // 8, side // 8]
            ),
            helper.make_tensor_value_info(outputs[1], TensorProto.FLOAT, ["n"]),
        ],
        [
            numpy_helper.from_array(np.array(MIDDLE, np.float32), "middle"),
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "all"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
