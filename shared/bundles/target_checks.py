"""Whether a bundle's head for an accelerator holds: its answers, and what it was compiled by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import LITERT_HEAD, TargetHead
from shared.bundles.parity import measure_head
from shared.errors import BundleError, BundleMismatch, CheckFailed
from shared.format import size
from shared.targets.litert_head import LitertHead
from shared.targets.target import LITERT
from shared.targets.vela_compiler import compile_head

Check = tuple[str, Callable[[], str]]


def target_checks(bundle: Bundle, target: str) -> list[Check]:
    """What to look at, by name; each says what it found, and raises SplitsightError where that is
    wrong.

    target   as `target_named` gives it
    Raises BundleError where the bundle has no head for it.
    """
    entry = bundle.manifest.targets.get(target)
    if entry is None:
        others = ", ".join(bundle.manifest.targets) or "none"
        raise BundleError(
            f"{bundle.path.name} has no head for {target}; it has {others}",
            fix=f"`splitsight cloud export --target {target}` makes one; one that was made of "
            "another head counts as none",
        )
    checks: list[Check] = [
        (f"decisions for {target}", partial(_decisions, entry)),
        (f"parity of {LITERT_HEAD} on {LITERT}", partial(_parity, bundle, entry)),
    ]
    if target != LITERT:
        checks.append((f"operators off {target}", partial(_compiled, bundle, entry, target)))
    return checks


def _decisions(entry: TargetHead) -> str:
    return (
        f"{entry.alike:.1%} of {entry.parts} parts as by the shipped head; scores shifted by "
        f"{entry.shift:.4f} log-odds, taken back"
    )


def _parity(bundle: Bundle, entry: TargetHead) -> str:
    head = LitertHead(bundle.read(LITERT_HEAD), entry.top, entry.shift)
    report = measure_head(bundle, head)
    found = f"scores within {report.score_delta:.4f}, {report.symbols_apart:.2%} of symbols apart"
    if not report.agrees:
        raise CheckFailed(found, fix="")
    return found


def _compiled(bundle: Bundle, entry: TargetHead, target: str) -> str:
    made = compile_head(bundle.read(LITERT_HEAD), target)
    if made.off_npu:
        raise CheckFailed("; ".join(made.off_npu), fix="")
    if made.tool != entry.tool:
        raise BundleMismatch(
            f"{entry.file} was compiled by {entry.tool}, here is {made.tool}",
            fix="export it anew, or install that version",
        )
    if made.file != bundle.read(entry.file):
        raise BundleMismatch(
            f"{entry.file} is not what {made.tool} makes of {LITERT_HEAD}", fix="export it anew"
        )
    return (
        f"none; about {made.milliseconds:.1f} ms, {made.sram_kib:.0f} KiB of SRAM, "
        f"{size(len(made.file))}"
    )
