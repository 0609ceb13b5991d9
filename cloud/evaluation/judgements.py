"""Every picture of a set through head, codec and tail, as the product runs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import eight_bits_of, misfit
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD, TAIL
from shared.bundles.picture_head import PictureHead
from shared.bundles.runtime_choice import choose_runtime
from shared.certification.gate import Gate
from shared.certification.scores import NovelPictures
from shared.console import track
from shared.contracts import TileShares
from shared.features.depth import WrongPixels
from shared.features.image_codecs import compress, to_pixels
from shared.features.novelty import Novelty
from shared.features.straightening import onto_picture
from shared.features.tiling import onto_whole
from shared.features.transmission import batches, received, weighed
from shared.runtime.base import Runtime, RuntimeOptions


@dataclass(frozen=True, slots=True)
class Judgements:
    """What a bundle says of each sample, in order; arrays of n.

    edge, cloud  scores, 0–1; the cloud's is head and tail together, as the service weighs them
    encoded      size of the features as they would be sent, bytes without the message's header
    jpeg         size of the head's input as JPEG, bytes; see `shared.features.image_codecs`
    coarseness   of the encoding: above 1 where the finest would exceed the bundle's cap
    symbols      the head's, before encoding; int8 (n, channels, height, width). `arrived`: as the
                 cloud decodes them
    edge_maps    probabilities, each float32 (height/8, width/8) of the input, or laid over the
                 whole picture where that is more; cloud_maps alike, of the tile that is sent where
                 there are tiles
    kinds        the tail's probabilities over the manifest's classes, float32 (n, classes), or
                 None where it has no such output
    sizes        height and width of each picture before it was prepared, int (n, 2)
    spoke        the number of each picture's tile whose symbols these are, int (n,); -1 of one that
                 is judged whole
    summaries    of every tile, `shared.features.novelty.summary`; `shown_by` (m,) says of which
                 picture each is
    novel        which are unlike anything that the network was shown; None until `seen_by` is asked
    """

    edge: NDArray[np.float64]
    cloud: NDArray[np.float64]
    encoded: NDArray[np.int64]
    jpeg: NDArray[np.int64]
    coarseness: NDArray[np.int64]
    symbols: NDArray[np.int8]
    arrived: NDArray[np.int8]
    edge_maps: Sequence[NDArray[np.float32]]
    cloud_maps: Sequence[NDArray[np.float32]]
    kinds: NDArray[np.float32] | None
    sizes: NDArray[np.int64]
    spoke: NDArray[np.intp]
    summaries: NDArray[np.float32]
    shown_by: NDArray[np.intp]
    novel: NovelPictures | None = None

    def seen_by(self, novelty: Novelty | None) -> Judgements:
        """The same, with what this calls novel."""
        if novelty is None:
            return replace(self, novel=None)
        edge = np.zeros(len(self.edge), bool)
        edge[self.shown_by[novelty.of_summaries(self.summaries) > 1.0]] = True
        # A picture in tiles with a novel one goes to a person, whatever the cloud would say.
        cloud = novelty.novel(self.arrived) | (edge & (self.spoke >= 0))
        return replace(self, novel=NovelPictures(edge, cloud))


class HeadAnswer(NamedTuple):
    """What the head makes of one picture, and what sending it would cost; as in `Judgements`."""

    edge: float
    encoded: int
    jpeg: int
    coarseness: int
    symbols: NDArray[np.int8]
    edge_map: NDArray[np.float32]
    size: tuple[int, int]
    tile: TileShares | None
    spoke: int
    summaries: NDArray[np.float32]

    def novel_to(self, novelty: Novelty) -> bool:
        """Whether it, or one of its tiles, is unlike anything that the network was shown."""
        return bool(novelty.of_summaries(self.summaries).max() > 1)


class TailAnswers(NamedTuple):
    """What the tail makes of many: its own scores (n,), maps and kinds as in `Judgements`."""

    scores: NDArray[np.float64]
    maps: NDArray[np.float32]
    kinds: NDArray[np.float32] | None


def judge(
    bundle: Bundle,
    dataset: Dataset,
    runtime: str = "auto",
    threads: int = 0,
    gate: Gate | None = None,
) -> Judgements:
    """Run every sample through head, codec and tail.

    threads   of each backend; 0 lets it choose
    gate      that weighs head and tail; None: the bundle's
    Raises DataError for a picture that can't be read, RuntimeUnavailable without a backend.
    """
    seen = _look(bundle, dataset, runtime, threads)
    symbols = np.stack([one.symbols for one in seen])
    coarseness = np.array([one.coarseness for one in seen])
    arrived = received(bundle.codec, symbols, coarseness)
    answers = ask(open_tail(bundle, runtime, threads), arrived, "judging")
    edge, pixels = np.array([one.edge for one in seen]), bundle.manifest.input.pixels
    return Judgements(
        edge=edge,
        cloud=weighed(gate or bundle.manifest.gate.gate, edge, answers.scores),
        encoded=np.array([one.encoded for one in seen]),
        jpeg=np.array([one.jpeg for one in seen]),
        coarseness=coarseness,
        symbols=symbols,
        arrived=arrived,
        edge_maps=[one.edge_map for one in seen],
        cloud_maps=[
            onto_whole(found, pixels, one.tile)
            for found, one in zip(answers.maps, seen, strict=True)
        ],
        kinds=answers.kinds,
        sizes=np.array([one.size for one in seen]),
        spoke=np.array([one.spoke for one in seen], np.intp),
        summaries=np.concatenate([one.summaries for one in seen]),
        shown_by=np.repeat(np.arange(len(seen)), [len(one.summaries) for one in seen]),
    )


def open_tail(bundle: Bundle, runtime: str, threads: int) -> Runtime:
    """The bundle's tail, ready. Raises RuntimeUnavailable where no backend runs it."""
    options = RuntimeOptions(threads=threads)
    return choose_runtime(runtime, bundle.read(TAIL), options).runtime


def ask(tail: Runtime, symbols: NDArray[np.int8], what: str) -> TailAnswers:
    """Run the tail on decoded symbols (n, channels, height, width), in batches."""
    return _answers(tail, track(batches(symbols), what))


def tail_scores(tail: Runtime, symbols: NDArray[np.int8]) -> NDArray[np.float64]:
    """Of a few decoded symbols (n, channels, height, width): the tail's own scores (n,)."""
    return _answers(tail, batches(symbols)).scores


def _answers(tail: Runtime, asked: Iterable[NDArray[np.int8]]) -> TailAnswers:
    columns = zip(*(tail.run(batch) for batch in asked), strict=True)
    maps, scores, *kinds = (np.concatenate(column) for column in columns)
    return TailAnswers(
        np.asarray(scores, np.float64).reshape(-1),
        np.asarray(maps, np.float32)[:, 0],
        np.asarray(kinds[0], np.float32) if kinds else None,
    )


def open_head(bundle: Bundle, runtime: str, threads: int) -> Runtime:
    """The bundle's int8 head, ready. Raises RuntimeUnavailable where no backend runs it."""
    return choose_runtime(runtime, bundle.read(HEAD), RuntimeOptions(threads=threads)).runtime


def _look(bundle: Bundle, dataset: Dataset, runtime: str, threads: int) -> list[HeadAnswer]:
    head = PictureHead.of(bundle, open_head(bundle, runtime, threads))
    return [_of_file(bundle, head, sample.image) for sample in track(dataset.samples, "looking")]


def _of_file(bundle: Bundle, head: PictureHead, path: Path) -> HeadAnswer:
    try:
        return look(bundle, head, eight_bits_of(path, bundle.manifest.input.pixels))
    except WrongPixels as error:
        raise misfit(path, error) from error


def look(bundle: Bundle, head: PictureHead, pixels: NDArray[np.uint8]) -> HeadAnswer:
    """One picture as the camera gave it, (h, w) grey or (h, w, 3) BGR, prepared and judged.

    Raises WrongPixels where it can't be cut into the bundle's tiles.
    """
    found = head.look(pixels)
    sent = bundle.codec.encode_within(found.symbols, bundle.manifest.features.cap_bytes)
    return HeadAnswer(
        edge=found.score,
        encoded=len(sent.body),
        jpeg=len(compress(to_pixels(found.picture))),
        coarseness=sent.coarseness,
        symbols=found.symbols,
        edge_map=onto_picture(found.defect_map, bundle.manifest.input.pixels),
        size=(pixels.shape[0], pixels.shape[1]),
        tile=found.tile,
        spoke=found.spoke,
        summaries=found.summaries,
    )
