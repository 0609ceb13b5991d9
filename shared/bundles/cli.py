"""`splitsight bundle`: show what a bundle is, and verify that it holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from shared import command_options as option
from shared.bundles import leakage, robustness
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD, HEAD_FLOAT, TAIL
from shared.bundles.parity import (
    ParityReport,
    check_codec,
    check_quantisation,
    measure_float_head,
    measure_head,
    measure_tail,
)
from shared.certification.promises import Certificate, describe, in_words, left_to_person, percent
from shared.console import out, print_json, print_table
from shared.errors import CheckFailed, RuntimeUnavailable, SplitsightError
from shared.features.pixel_settings import PixelSettings
from shared.format import size
from shared.runtime.base import RUNTIMES, Runtime, RuntimeOptions, open_runtime
from shared.targets.target import target_named

TAIL_ONLY = frozenset({"torch"})
MEASURES = ((HEAD, measure_head), (HEAD_FLOAT, measure_float_head), (TAIL, measure_tail))

app = option.group("Look into a bundle and check it.")
BundlePath = Annotated[Path, typer.Argument(help="A bundle: a folder or a zip file.")]


@app.command()
def show(bundle: BundlePath, format_: option.Format = "text") -> None:
    """Local: print what a bundle is: model, gate, training, licence, files."""
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    described = {"id": opened.id, "pair": manifest.pair, **manifest.model_dump(mode="json")}
    if format_ == "json":
        print_json(described | {"robustness": opened.robustness})
        return
    gate, training = manifest.gate, manifest.training
    rows = {
        "bundle": f"{manifest.name} {manifest.version} (id {opened.id}, pair {manifest.pair})",
        "created": manifest.created,
        "split point": manifest.split_point,
        "input": f"{manifest.input.width} × {manifest.input.height}, "
        + ("grey" if manifest.input.channels == 1 else "colour"),
        **_of_pixels(manifest.input.pixels),
        "features": " × ".join(map(str, manifest.features.shape)),
        "classes": ", ".join(manifest.classes),
        "gate": in_words(gate),
        "certificate": describe(manifest.certificate),
        **_left_to_person(manifest.certificate),
        "leakage": leakage.describe(manifest.leakage),
        "accelerators": ", ".join(manifest.targets) or "none",
        "robustness": robustness.describe(opened.robustness),
        "trained on": f"{training.data} ({training.data_hash[:12]}), "
        + (f"version {training.data_version}, " if training.data_version else "")
        + f"{training.epochs} epochs, seed {training.seed}",
        "data licence": training.data_licence,
        "metrics": ", ".join(f"{k} {v:.4g}" for k, v in training.metrics.items()),
        "size": f"{size(opened.size)} in {len(manifest.files)} files",
    }
    for name, value in rows.items():
        out.print(f"[bold]{name:>14}[/]  {escape(value)}", highlight=False)


def _of_pixels(pixels: PixelSettings) -> dict[str, str]:
    """What is set, and nothing where nothing is."""
    said = pixels.model_dump(mode="json", exclude_defaults=True)
    return {"pixels": ", ".join(f"{name} {value}" for name, value in said.items())} if said else {}


def _left_to_person(certificate: Certificate | None) -> dict[str, str]:
    review = certificate.review if certificate else None
    return {"to review": left_to_person(review)} if review else {}


@app.command()
def verify(bundle: BundlePath, target: option.Target = "", format_: option.Format = "text") -> None:
    """Local: check hashes, shapes, codec and parity on every backend that is installed.

    --target compiles its head again and runs the golden inputs where there is a simulator.
    """
    wanted = target_named(target) if target else ""
    opened = Bundle.open(bundle)
    rows = verification(opened)
    if wanted:
        with option.needs_extra("npu"):
            from shared.bundles.target_checks import target_checks  # noqa: PLC0415 - needs LiteRT
        rows += [_row(check, do) for check, do in target_checks(opened, wanted)]
    if format_ == "json":
        print_json(rows)
    else:
        print_table(f"{bundle.name}", rows)
    failed = [str(row["check"]) for row in rows if row["ok"] is False]
    if failed:
        raise CheckFailed(
            f"{len(failed)} checks of {bundle.name} failed: {', '.join(failed)}",
            fix="don't deploy it; rebuild it, or leave out the backend that disagrees",
        )


def verification(bundle: Bundle) -> list[dict[str, object]]:
    """One row a check: {check, ok, found}; ok is None where a backend can't run the model."""
    rows = [
        _row(f"hash of {name}", partial(_bytes, bundle, name)) for name in bundle.manifest.files
    ]
    rows.append(_row("codec", partial(_codec, bundle)))
    rows.append(_row("novelty", partial(_novelty, bundle)))
    rows.append(_row("int8 against float", partial(_quantisation, bundle)))
    for model, measure in MEASURES:
        for name in RUNTIMES.names():
            if name in TAIL_ONLY and model != TAIL:
                continue
            check = f"parity of {model} on {name}"
            rows.append(_row(check, partial(_parity, bundle, name, model, measure)))
    return rows


def _bytes(bundle: Bundle, name: str) -> str:
    return f"{len(bundle.read(name)):,} B"


def _quantisation(bundle: Bundle) -> str:
    return f"scores within {check_quantisation(bundle.golden, bundle.manifest.tolerance.int8):.4f}"


def _novelty(bundle: Bundle) -> str:
    novelty = bundle.novelty
    if novelty is None:
        return "nothing looks for parts unlike anything seen"
    return f"at most {percent(novelty.share)} of known parts seem unlike anything seen"


def _codec(bundle: Bundle) -> str:
    check_codec(bundle)
    return "bit-exact"


def _parity(
    bundle: Bundle,
    runtime_name: str,
    model: str,
    measure: Callable[[Bundle, Runtime], ParityReport],
) -> str:
    device = "cpu" if runtime_name == "torch" else "CPU"
    runtime = open_runtime(runtime_name, bundle.read(model), RuntimeOptions(device, 1))
    report = measure(bundle, runtime)
    found = f"scores within {report.score_delta:.4f}, {report.symbols_apart:.2%} of symbols apart"
    if not report.agrees:
        raise CheckFailed(found, fix="")
    return found


def _row(check: str, do: Callable[[], object]) -> dict[str, object]:
    try:
        return {"check": check, "ok": True, "found": str(do())}
    except RuntimeUnavailable as error:
        return {"check": check, "ok": None, "found": error.message}
    except SplitsightError as error:
        return {"check": check, "ok": False, "found": str(error)}
