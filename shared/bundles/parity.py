"""Does a backend give what the bundle promises? Checked before anything goes live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.bundles.bundle import Bundle, Golden
from shared.bundles.manifest import MAP_STRIDE
from shared.errors import BundleMismatch, ParityError
from shared.runtime.base import Array, Runtime


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How far one backend lies from the golden outputs.

    score_delta    largest difference of a score, 0–1
    symbols_apart  share of symbols that differ by more than one step; 0 for a tail
    agrees         both are within the bundle's tolerance
    """

    runtime: str
    device: str
    score_delta: float
    symbols_apart: float
    agrees: bool


def measure_head(bundle: Bundle, runtime: Runtime) -> ParityReport:
    """Run the golden inputs through a head. Raises BundleMismatch for outputs of wrong shape."""
    return _measure_head(bundle, runtime, bundle.golden.edge_scores)


def measure_float_head(bundle: Bundle, runtime: Runtime) -> ParityReport:
    """As `measure_head`, for the float head beside it."""
    return _measure_head(bundle, runtime, bundle.golden.float_scores)


def check_quantisation(golden: Golden, allowed: float) -> float:
    """How far the int8 head's golden scores lie from the float head's.

    Raises ParityError where that is more than `allowed`.
    """
    delta = float(np.abs(golden.edge_scores - golden.float_scores).max())
    if not delta <= allowed:
        raise ParityError(
            f"the int8 head's scores differ from the float head's by {delta:.3f}, at most "
            f"{allowed:.3f} is allowed",
            fix="train longer or with more pictures, so that calibration sees every range",
        )
    return delta


def _measure_head(bundle: Bundle, runtime: Runtime, wanted: Array) -> ParityReport:
    manifest, golden = bundle.manifest, bundle.golden
    scores, symbols = [], []
    for picture in golden.inputs:
        found = _outputs("head", runtime.run(picture[np.newaxis]), 3)
        features, defect_map, score = found
        _want_shape("head features", features, (1, *manifest.features.shape))
        _want_shape("head map", defect_map, (1, 1, *map_shape(bundle)))
        scores.append(float(score.reshape(-1)[0]))
        symbols.append(bundle.codec.quantise(features[0].astype(np.float32)))
    steps = np.abs(np.stack(symbols).astype(np.int16) - golden.symbols.astype(np.int16))
    return _report(bundle, runtime, np.array(scores), wanted, float((steps > 1).mean()))


def measure_tail(bundle: Bundle, runtime: Runtime) -> ParityReport:
    """Run the golden symbols through a tail. Raises BundleMismatch for outputs of wrong shape."""
    golden = bundle.golden
    _, score, _ = split_tail(bundle, runtime.run(golden.symbols), len(golden.symbols))
    return _report(bundle, runtime, np.asarray(score, np.float64), golden.tail_scores, 0.0)


def split_tail(
    bundle: Bundle, outputs: Sequence[Array], count: int
) -> tuple[Array, Array, Array | None]:
    """What a tail returned for `count` parts, checked: defect maps, scores, kinds.

    kinds   float32 (count, kinds of defect), None of a tail that does not tell them apart
    Raises BundleMismatch for outputs of wrong shape.
    """
    classes = bundle.manifest.classes
    wanted = 3 if len(classes) > 1 and len(outputs) == 3 else 2
    defect_map, score, *more = _outputs("tail", outputs, wanted)
    _want_shape("tail map", defect_map, (count, 1, *map_shape(bundle)))
    _want_shape("tail score", score, (count,))
    if not more:
        return defect_map, score, None
    _want_shape("tail kinds", more[0], (count, len(classes)))
    return defect_map, score, more[0]


def check_head(bundle: Bundle, runtime: Runtime) -> ParityReport:
    """As `measure_head`; raises ParityError where the backend disagrees."""
    return _or_refuse(bundle, measure_head(bundle, runtime))


def check_tail(bundle: Bundle, runtime: Runtime) -> ParityReport:
    """As `measure_tail`; raises ParityError where the backend disagrees."""
    return _or_refuse(bundle, measure_tail(bundle, runtime))


def check_codec(bundle: Bundle) -> None:
    """Raises BundleMismatch where this machine encodes or decodes the golden payload otherwise."""
    golden = bundle.golden
    same_bytes = bundle.codec.encode(golden.symbols[0]) == golden.payload
    decoded = bundle.codec.decode(golden.payload)
    if not same_bytes or not np.array_equal(decoded, golden.symbols[0]):
        raise BundleMismatch(
            "the codec on this machine does not reproduce the golden payload",
            fix="install the version of constriction that constraints.txt names",
        )


def map_shape(bundle: Bundle) -> tuple[int, int]:
    """Height and width of the bundle's defect maps, places."""
    spec = bundle.manifest.input
    return spec.height // MAP_STRIDE, spec.width // MAP_STRIDE


def _report(
    bundle: Bundle, runtime: Runtime, scores: Array, golden: Array, apart: float
) -> ParityReport:
    tolerance = bundle.manifest.tolerance
    differences = np.abs(np.asarray(scores, np.float64) - np.asarray(golden, np.float64))
    # A NaN compares false with everything, so ask whether all is well, not whether it is not.
    delta = float(differences.max())
    agrees = bool(delta <= tolerance.score and apart <= tolerance.symbols)
    return ParityReport(runtime.name, runtime.device, delta, apart, agrees)


def _or_refuse(bundle: Bundle, report: ParityReport) -> ParityReport:
    if not report.agrees:
        tolerance = bundle.manifest.tolerance
        raise ParityError(
            f"{report.runtime} on {report.device} disagrees with {bundle.manifest.name}: scores "
            f"differ by {report.score_delta:.3f} (at most {tolerance.score:.3f}), "
            f"{report.symbols_apart:.1%} of symbols (at most {tolerance.symbols:.1%})",
            fix="choose another runtime: `splitsight edge bench` lists those that agree",
        )
    return report


def _want_shape(what: str, found: Array, wanted: tuple[int, ...]) -> None:
    if found.shape != wanted:
        raise BundleMismatch(
            f"the {what} has shape {found.shape}, the manifest says {wanted}",
            fix="rebuild the bundle with `make bundle`",
        )


def _outputs(what: str, outputs: Sequence[Array], wanted: int) -> Sequence[Array]:
    if len(outputs) != wanted:
        raise BundleMismatch(
            f"the {what} has {len(outputs)} outputs, {wanted} were wanted",
            fix="rebuild the bundle with `make bundle`",
        )
    return outputs
