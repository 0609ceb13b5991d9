"""`splitsight cloud certify`: choose a bundle's gate by parts that it has not seen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.markup import escape

from cloud.training.cli import DataOption, FormatOption
from shared.bundles.bundle import Bundle, amend_bundle
from shared.certification.certificate import PromiseLimits
from shared.certification.promises import MeasuredShare, Promise, percent
from shared.console import out, print_json
from shared.errors import MissingExtra

if TYPE_CHECKING:
    from cloud.evaluation.certification import Certified


class CertifyReport(msgspec.Struct, frozen=True):
    """The report of `splitsight cloud certify`.

    id                       of the bundle as it was written
    certificate              as the manifest keeps it
    escalation_rate          share of the pictures; escalation_rate_good: of those of good parts
    pass_rate_good           share of the pictures of good parts that pass at the edge
    system_alpha_supported   where the system's promise can't be made: the least that could be
    """

    bundle: str
    id: str
    certificate: dict[str, Any]
    escalation_rate: float
    escalation_rate_good: float
    pass_rate_good: float
    system_alpha_supported: float | None


def certify(
    bundle: Annotated[Path, typer.Option("--bundle", help="A bundle.")],
    data: DataOption,
    split: Annotated[
        str, typer.Option(help="The parts to count: train, calibrate or test.")
    ] = "calibrate",
    alpha: Annotated[
        float, typer.Option(help="At most this share of defective parts may pass at the edge.")
    ] = 0.01,
    delta: Annotated[
        float, typer.Option(help="How likely each promise may be wrong: 0.05 is 95 % confidence.")
    ] = 0.05,
    overkill: Annotated[
        float, typer.Option(help="At most this share of good parts may be rejected at the edge.")
    ] = 0.05,
    system_alpha: Annotated[
        float | None,
        typer.Option(
            help="At most this share of defective parts may pass edge and cloud together; twice "
            "alpha unless given."
        ),
    ] = None,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Where to write; in place unless given.")
    ] = None,
    runtime: Annotated[str, typer.Option(help="auto, openvino, onnx.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the division, as in training.")] = 0,
    format_: FormatOption = "text",
) -> None:
    """Choose the gate that escalates least and still keeps a promise, and write the certificate.

    Choose --alpha before you look, and count each set of parts once.
    """
    try:
        from cloud.datasets.readers import read  # noqa: PLC0415 - needs scipy
    except ImportError as error:
        raise MissingExtra("train", error) from error
    from cloud.datasets.dataset import split_named  # noqa: PLC0415
    from cloud.evaluation.certification import certify as run  # noqa: PLC0415

    if system_alpha is None:
        # As many again may slip through the cloud.
        system_alpha = min(2 * alpha, (1 + alpha) / 2)
    limits = PromiseLimits(alpha, overkill, system_alpha, delta)
    opened, dataset = Bundle.open(bundle), read(data, seed=seed).of(split_named(split))
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    found = run(opened, dataset, limits, split=split, created=created, runtime=runtime)
    certificate = found.certificate
    changes = {"gate": certificate.gate, "certificate": certificate}
    written = amend_bundle(opened, changes, out_)
    if format_ == "json":
        print_json(_report(written, found))
        return
    for name, value in _rows(written, found, limits).items():
        out.print(f"[bold]{name:>15}[/]  {escape(value)}", highlight=False, soft_wrap=True)


def _report(written: Bundle, found: Certified) -> CertifyReport:
    return CertifyReport(
        bundle=str(written.path),
        id=written.id,
        certificate=found.certificate.model_dump(mode="json"),
        escalation_rate=found.escalated,
        escalation_rate_good=found.escalated_good,
        pass_rate_good=found.passed_good,
        system_alpha_supported=found.system_supported,
    )


def _rows(written: Bundle, found: Certified, limits: PromiseLimits) -> dict[str, str]:
    certificate, gate = found.certificate, found.certificate.gate
    escapes, overkill = certificate.edge_escapes, certificate.edge_overkill
    promises = 3 if certificate.system else 2
    rows = {
        "bundle": f"{written.path}, now id {written.id}",
        "tested on": f"{escapes.parts} defective and {overkill.parts} good parts of "
        f"{certificate.data} ({certificate.split}), {certificate.pictures} pictures, on "
        f"{certificate.runtime}",
        "edge escapes": f"at most {percent(escapes.limit)} of defective parts; {_seen(escapes)}",
        "edge overkill": f"at most {percent(overkill.limit)} of good parts; {_seen(overkill)}",
        **_system_rows(found, limits),
        "confidence": f"{percent(1 - limits.delta)} in each promise on its own, at least "
        f"{percent(max(0.0, 1 - promises * limits.delta))} in all {promises} at once",
        "gate": f"pass below {gate.pass_below:.4g}, reject from {gate.reject_from:.4g}; in the "
        f"cloud reject from {gate.cloud_reject_from:.4g}",
        "escalated": f"{percent(found.escalated)} of these pictures; of those of good parts "
        f"{percent(found.escalated_good)}, while {percent(found.passed_good)} pass at the edge",
    }
    if found.passed_good == 0:
        rows["note"] = "the edge passes no good part: some defective part scores lower than all"
    return rows


def _system_rows(found: Certified, limits: PromiseLimits) -> dict[str, str]:
    system, least = found.certificate.system, found.system_supported
    if system is None:
        return {
            "system escapes": "NO PROMISE. These parts can't show that edge and cloud together "
            f"pass at most {percent(limits.system)} of defective parts"
            + (f"; --system-alpha {least:g} could be promised" if least else "")
        }
    overkill = system.overkill
    return {
        "system escapes": f"at most {percent(system.escapes.limit)} of defective parts, edge and "
        f"cloud together; {_seen(system.escapes)}",
        "system overkill": f"not promised; {_seen(overkill)}, {percent(1 - limits.delta)} "
        f"interval {percent(overkill.low)} to {percent(overkill.high)}",
    }


def _seen(counted: Promise | MeasuredShare) -> str:
    return f"seen in {counted.seen} of {counted.parts}"
