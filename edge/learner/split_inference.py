"""Pictures through head, codec and tail on this device, as they would go through the cloud."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.certification.gate import Gate
from shared.errors import RuntimeUnavailable
from shared.features.codec import CodecTables, FeatureCodec
from shared.features.transmission import batches, received, weighed
from shared.federation.questions import TransmissionTerms
from shared.runtime.base import Runtime, open_runtime

RUNTIME = "onnx"
Scores = NDArray[np.float64]


def judged_together(
    head: bytes,
    tail: bytes,
    passage: TransmissionTerms,
    gate: Gate,
    pictures: Sequence[NDArray[np.uint8]],
) -> tuple[Scores, Scores]:
    """The head's scores, then those of head and tail together, (n,) each.

    pictures   prepared, (1, channels, height, width) each
    Raises CodecError for tables that are none, RuntimeUnavailable where a model can't run here.
    """
    codec = FeatureCodec.of(CodecTables.from_json(passage.codec), passage.shape)
    edge, cloud = open_runtime(RUNTIME, head), open_runtime(RUNTIME, tail)
    if not pictures:
        return np.zeros(0), np.zeros(0)
    found = [edge.run(picture) for picture in pictures]
    scores = np.array([float(np.ravel(outputs[2])[0]) for outputs in found], np.float64)
    symbols = np.stack([codec.quantise(_finite(outputs[0][0])) for outputs in found])
    coarseness = [codec.encode_within(one, passage.cap_bytes).coarseness for one in symbols]
    deep = _deep_scores(cloud, received(codec, symbols, coarseness))
    return scores, weighed(gate, scores, deep)


def _finite(features: NDArray[np.generic]) -> NDArray[np.float32]:
    """What is not a number has no symbol; the agent sends such features as zeros, too."""
    return np.nan_to_num(np.asarray(features, np.float32))


def _deep_scores(tail: Runtime, symbols: NDArray[np.int8]) -> Scores:
    try:
        columns = [np.ravel(tail.run(batch)[1]) for batch in batches(symbols)]
    except Exception as error:
        # Each backend has exceptions of its own; what they share is that there is no score.
        raise RuntimeUnavailable(f"{tail.name} failed on the tail ({error})") from error
    scores = np.concatenate(columns).astype(np.float64)
    if scores.shape != (len(symbols),):
        raise RuntimeUnavailable(f"the tail gives {len(scores)} scores for {len(symbols)} pictures")
    return scores
