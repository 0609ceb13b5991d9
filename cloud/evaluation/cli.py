"""`splitsight cloud evaluate|certify|parity`: how good a bundle is, and what it may promise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape as escape_markup

from cloud.evaluation.certification_report import certify_report, certify_rows
from shared import command_options as option
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.robustness import ROBUSTNESS, Robustness, judge_of
from shared.bundles.scores import TESTED
from shared.certification.prices import Prices
from shared.certification.thresholds import SystemLimits
from shared.console import err, out, print_json, print_table
from shared.errors import BundleError, CheckFailed
from shared.features.novelty import NOVELTY, USUAL_SHARE
from shared.format import iso
from shared.storage.report_folder import prepare_report

PRICES = Prices()

if TYPE_CHECKING:
    from cloud.evaluation.scorecard import Evaluation


def evaluate(
    bundle: option.Bundle,
    data: option.Data,
    split: option.Split = "test",
    pixels: Annotated[
        Path | None,
        typer.Option(help="The run's pixels.onnx, to set JPEG and WebP beside the features."),
    ] = None,
    allow_seen: option.AllowSeen = False,
    robust: Annotated[
        bool,
        typer.Option(
            "--robust", help="Judge all again, disturbed in 13 ways at three strengths each."
        ),
    ] = False,
    adversarial: Annotated[
        bool,
        typer.Option(
            "--adversarial", help="Look for the worst that one step in each symbol sent can do."
        ),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--note/--no-note", help="Note what --robust and --adversarial find in the bundle."
        ),
    ] = True,
    labels: Annotated[
        bool,
        typer.Option("--labels", help="Say which labels the scores dispute, as `data dispute`."),
    ] = False,
    report: option.Report = None,
    runtime: option.Runtime = "auto",
    threads: option.Threads = 0,
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    format_: option.Format = "text",
) -> None:
    """Local: judge a split's pictures as the product will: edge, cloud and both together.

    The report has charts and sheets as PNG. It shows pictures of the data: keep it where they may
    be seen. --seed divides the data and must be that of the training. --robust takes as long as 40
    evaluations; its figures and those of --adversarial are kept in the bundle, whose id changes.
    """
    with option.needs_extra("train"):
        from cloud.evaluation.evaluation import Trials  # noqa: PLC0415 - needs scipy
        from cloud.evaluation.evaluation import evaluate as run  # noqa: PLC0415
    if labels:
        with option.needs_extra("labels"):
            from cloud.evaluation.label_evidence import judged_labels  # noqa: PLC0415 - sklearn
    from cloud.datasets.dataset import split_named  # noqa: PLC0415
    from cloud.datasets.seen_pictures import require_unseen  # noqa: PLC0415
    from cloud.disputes.lineage import LineOrigins  # noqa: PLC0415
    from cloud.survey.reader import read_options, read_to_judge  # noqa: PLC0415

    chosen = split_named(split)
    options = read_options(seed, data_format, same_part, skip_bad=skip_bad)
    opened, samples = Bundle.open(bundle), read_to_judge(data, options).of(chosen)
    seen = require_unseen(opened, samples, allow=allow_seen)
    origins = LineOrigins.read(data) if labels else LineOrigins({})
    if report is not None:
        prepare_report(report, "train")
    trials = Trials(robust, adversarial, seed)
    found = run(
        *(opened, samples, split, runtime),
        pixels=pixels,
        threads=threads,
        seen=seen,
        trials=trials,
    )
    if labels:
        quality = judged_labels(opened, samples, found.judgements, origins, seed)
        found = found._replace(figures=msgspec.structs.replace(found.figures, labels=quality))
    # What was trained on says nothing to whoever opens the bundle later.
    if keep and found.figures.robustness is not None and not seen:
        amended = keep_robustness(bundle, found.figures.robustness)
        err.print(f"{bundle} notes how it fares; its id is now {amended.id}", highlight=False)
    if report is not None:
        from cloud.evaluation.report import write_report  # noqa: PLC0415 - two seconds of matplotlib

        write_report(report, opened, samples, found)
    if format_ == "json":
        print_json(found.figures)
        return
    _print(found.figures)
    if report is not None:
        out.print(f"report: {report / 'report.html'}", highlight=False, soft_wrap=True)


def keep_robustness(path: Path, found: Robustness) -> Bundle:
    """Write the figures into the bundle as it is now: others may have changed its gate meanwhile.

    What was not tried this time, disturbances or symbols, stays as it was found before.
    Raises BundleError where the bundle no longer decides as it did when they were found.
    """
    bundle = Bundle.open(path)
    if judge_of(bundle.manifest) != found.judge:
        raise BundleError(
            f"{path} has another model or gate than the one that was measured",
            fix="run the command again",
        )
    before = bundle.robustness
    if before is not None and before.data_hash == found.data_hash:
        found = found.beside(before)
    return amend_bundle(bundle, {}, None, {ROBUSTNESS: found.to_bytes()})


def certify(
    bundle: option.Bundle,
    data: option.Data,
    split: option.Split = "calibrate",
    escape: Annotated[
        float, typer.Option(help="At most this share of defective parts may pass.")
    ] = 0.05,
    false_reject: Annotated[
        float,
        typer.Option(help="At most this share of good parts may be rejected without a person."),
    ] = 0.05,
    delta: Annotated[
        float, typer.Option(help="How likely each promise may be wrong: 0.05 is 95 % confidence.")
    ] = 0.05,
    edge_only: Annotated[
        bool,
        typer.Option(
            "--edge-only",
            help="The site has no cloud; a person looks at what the edge is not sure of.",
        ),
    ] = False,
    tail_weight: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="How much the tail counts in the cloud, fixed before you look; as trained unless "
            "given, at a share of --delta where these parts chose it.",
        ),
    ] = None,
    escalation_price: Annotated[
        float, typer.Option(help="What asking the cloud once costs; a part reviewed costs 1.")
    ] = PRICES.escalation,
    byte_price: Annotated[
        float, typer.Option(help="What a byte sent up costs; a part reviewed costs 1.")
    ] = PRICES.byte,
    novelty_share: Annotated[
        float,
        typer.Option(
            help="Share of parts like these that may go to review for being unlike anything that "
            "the network was shown; 0 looks for none.",
        ),
    ] = USUAL_SHARE,
    target: Annotated[
        Path | None, typer.Option("--out", help="Where to write; in place unless given.")
    ] = None,
    runtime: option.Runtime = "auto",
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    format_: option.Format = "text",
) -> None:
    """Local: choose the gate that costs least and keeps a promise, and write the certificate.

    The promise is of edge, cloud and person together: what nobody is sure of, a person reviews.
    Choose the shares before you look, and count each set of parts once. --seed divides the data
    and must be that of the training.
    """
    with option.needs_extra("train"):
        from cloud.survey.reader import read_options, read_to_judge  # noqa: PLC0415 - needs scipy
    from cloud.datasets.dataset import split_named  # noqa: PLC0415
    from cloud.evaluation.certification import CertificateTerms  # noqa: PLC0415
    from cloud.evaluation.certification import certify as run  # noqa: PLC0415

    limits = SystemLimits(escape, false_reject, delta)
    terms = CertificateTerms(
        limits,
        Prices(1.0, escalation_price, byte_price),
        with_cloud=not edge_only,
        tail_weight=tail_weight,
        novelty=novelty_share,
    )
    chosen = split_named(split)
    options = read_options(seed, data_format, same_part, skip_bad=skip_bad)
    opened, everything = Bundle.open(bundle), read_to_judge(data, options)
    found = run(
        opened,
        everything.of(chosen),
        terms,
        split=split,
        created=iso(),
        shown=everything,
        runtime=runtime,
    )
    certificate = found.certificate
    changes = {"format": 2, "gate": certificate.gate, "certificate": certificate}
    novelty = found.novelty.to_bytes() if found.novelty else None
    tested = found.tested.to_bytes() if found.tested else None
    written = amend_bundle(opened, changes, target, {NOVELTY: novelty, TESTED: tested})
    if format_ == "json":
        print_json(certify_report(written, found))
        return
    for name, value in certify_rows(written, found).items():
        out.print(f"[bold]{name:>15}[/]  {escape_markup(value)}", highlight=False, soft_wrap=True)


def parity(
    bundle: option.Bundle,
    data: option.Data,
    split: option.Split = "test",
    run: Annotated[
        Path | None, typer.Option(help="Folder of a training; to compare torch as well.")
    ] = None,
    allow_seen: option.AllowSeen = False,
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    format_: option.Format = "text",
) -> None:
    """Local: compare float with int8, and backend with backend, on a split's pictures."""
    with option.needs_extra("train"):
        from cloud.survey.reader import read_options, read_to_judge  # noqa: PLC0415 - needs scipy
    from cloud.datasets.dataset import split_named  # noqa: PLC0415
    from cloud.datasets.seen_pictures import require_unseen  # noqa: PLC0415
    from cloud.evaluation.agreement import compare  # noqa: PLC0415

    chosen = split_named(split)
    options = read_options(seed, data_format, same_part, skip_bad=skip_bad)
    opened, samples = Bundle.open(bundle), read_to_judge(data, options).of(chosen)
    require_unseen(opened, samples, allow=allow_seen)
    rows = compare(opened, samples, run)
    if format_ == "json":
        print_json(rows)
    else:
        print_table(f"{bundle} on {split}", [msgspec.to_builtins(row) for row in rows])
    wrong = [row for row in rows if not row.ok]
    if wrong:
        first = wrong[0]
        raise CheckFailed(
            f"{len(wrong)} of {len(rows)} comparisons fall short, the first is {first.head} beside "
            f"{first.beside}: {first.same:.2%} decided alike, {first.wanted:.1%} are wanted",
            fix="quantise again with more calibration pictures, or train longer",
        )


def _print(figures: Evaluation) -> None:
    from cloud.evaluation import robustness_report  # noqa: PLC0415
    from cloud.evaluation.console_tables import print_words  # noqa: PLC0415
    from cloud.evaluation.label_tables import FEW, label_headline, label_tables  # noqa: PLC0415
    from cloud.evaluation.tables import headline, rates, recall, side_by_side, traffic  # noqa: PLC0415

    out.print(f"{figures.bundle}. {headline(figures)}", highlight=False)
    if figures.certificate is not None:
        out.print(figures.certificate, highlight=False)
    tables = [side_by_side(figures), traffic(figures), recall(figures.groups)]
    if figures.rates is not None:
        tables.append(rates(figures.rates))
    if figures.robustness is not None:
        tables += robustness_report.tables(figures.robustness)
    print_words(tables)
    if figures.labels is not None:
        out.print(f"\n{label_headline(figures.labels)}", highlight=False)
        print_words(label_tables(figures.labels, FEW).filled)
