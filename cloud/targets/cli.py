"""`splitsight cloud export`: a bundle's head as an accelerator runs it."""

from __future__ import annotations

from shared import command_options as option
from shared.bundles.bundle import Bundle, amend_bundle
from shared.console import err, print_json, print_table
from shared.format import size
from shared.targets.target import target_named


def export(
    bundle: option.Bundle,
    data: option.Data,
    target: option.Target,
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    format_: option.Format = "text",
) -> None:
    """Local: add a head for an accelerator to a bundle, and say what it costs there.

    All of it runs on the accelerator, or nothing is written. The data must be what the bundle was
    trained on, with the same --seed: training parts bound what was float, calibration parts show
    how many are decided as by the shipped head. The bundle's id changes.
    """
    wanted = target_named(target)
    with option.needs_extra("npu"):
        from cloud.targets.export import export_head  # noqa: PLC0415 - needs onnx and LiteRT
    from cloud.survey.reader import read_options, read_to_judge  # noqa: PLC0415

    options = read_options(seed, data_format, same_part, skip_bad=skip_bad)
    opened, dataset = Bundle.open(bundle), read_to_judge(data, options)
    made = export_head(opened, dataset, wanted)
    targets = {**opened.manifest.targets, wanted: made.entry}
    changes = {"targets": {name: one.model_dump() for name, one in targets.items()}}
    amended = amend_bundle(opened, changes, None, dict(made.files))
    entry = made.entry
    row = {
        "target": wanted,
        "file": entry.file,
        "bytes": len(made.files[entry.file]),
        "tool": entry.tool,
        "operators_off_npu": 0,
        "milliseconds": entry.milliseconds,
        "sram_kib": entry.sram_kib,
        "decided_alike": entry.alike,
        "parts": entry.parts,
        "score_shift": entry.shift,
    }
    if format_ == "json":
        print_json({"bundle": amended.id, **row})
        return
    told = dict(row, bytes=size(len(made.files[entry.file])), decided_alike=f"{entry.alike:.1%}")
    print_table(wanted, [{"what": name, "found": value} for name, value in told.items()])
    err.print(f"{bundle} has it; its id is now {amended.id}", highlight=False)
