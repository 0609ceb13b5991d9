"""Write docs/reference from the code; with --check, say what is out of date and fail."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from cloud.app import openapi
from cloud.configuration.settings import json_schema as cloud_schema
from cloud.datasets.versions.version import DataVersion
from cloud.disputes.label_quality import LabelQuality
from cloud.evaluation.agreement import AgreementRow
from cloud.evaluation.certification_report import CertifyReport
from cloud.evaluation.scorecard import Evaluation
from edge.benchmark import BenchRow
from edge.configuration.settings import json_schema as edge_schema
from fleet.collection.report import CollectionReport
from fleet.configuration.settings import FleetSettings
from fleet.identity.authority import Authority
from fleet.rounds.configuration.settings import json_schema as rounds_schema
from fleet.rounds.report.findings import CandidateRecord, PossibleParticipant, RunReport
from fleet.service import open_fleet
from hardware_sim.demo.summary import DemoSummary
from hardware_sim.line.run import LineReport
from hardware_sim.scale.fleet.report import FleetRow
from hardware_sim.scale.plan.report import CapacityPlan
from hardware_sim.scale.rollout.report import RolloutReport
from hardware_sim.scenario.settings import scenario_model
from hardware_sim.scenario.verdict import ScenarioReport
from shared import wire
from shared.bundles.manifest import Manifest
from shared.clock import SystemClock
from shared.commands.doctor import DoctorRow
from shared.commands.root import all_commands
from shared.errors import exit_codes
from shared.inspection import Inspection
from shared.plugins.services import NoTails, Surroundings
from shared.topics import CHANNELS, PREFIX
from shared.transport.memory import MemoryBroker
from shared.worker import DeadWorkers

REFERENCE = Path(__file__).parent / "reference"
REPORTS: dict[str, Any] = {
    "demo": DemoSummary,
    "edge-bench": list[BenchRow],
    "cloud-evaluate": Evaluation,
    "cloud-certify": CertifyReport,
    "cloud-parity": list[AgreementRow],
    "cloud-data-dispute": LabelQuality,
    "doctor": list[DoctorRow],
    "cloud-data-version-list": list[DataVersion],
    "fleet-collect": CollectionReport,
    "fleet-federate": RunReport,
    "fleet-federate-dry-run": list[PossibleParticipant],
    "fleet-candidate-list": list[CandidateRecord],
    "sim-line": LineReport,
    "sim-run": ScenarioReport,
    "sim-fleet": list[FleetRow],
    "sim-plan": CapacityPlan,
    "sim-rollout": RolloutReport,
}
MESSAGES = (
    wire.Escalation,
    wire.CloudVerdict,
    wire.Inspections,
    Inspection,
    wire.Receipt,
    wire.StateMessage,
    wire.Desired,
    wire.Reported,
    wire.Labels,
    wire.PartLabel,
    wire.Withdrawal,
    wire.LabelReceipts,
    wire.Sketch,
    wire.LabelReceipt,
    wire.PictureRequest,
    wire.PicturePiece,
    wire.PictureRefusal,
    wire.RoundPiece,
    wire.RoundAsk,
    wire.RoundOver,
)


def pages() -> Iterator[tuple[str, str]]:
    """Every generated file: its name and its text."""
    yield "edge-config.schema.json", _json(edge_schema())
    yield "cloud-config.schema.json", _json(cloud_schema())
    yield "manifest.schema.json", _json(Manifest.model_json_schema())
    yield "scenario.schema.json", _json(scenario_model().model_json_schema())
    yield "rounds-config.schema.json", _json(rounds_schema())
    yield "openapi.json", _json(_openapi())
    for name, kind in REPORTS.items():
        yield f"report-{name}.schema.json", _json(msgspec.json.schema(kind))
    yield "messages.md", _messages()
    yield "exit-codes.md", _exit_codes()
    yield "commands.md", _commands()


def main() -> int:
    """Write, or compare; the exit code."""
    stale = []
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages():
        path = REFERENCE / name
        if path.exists() and path.read_text() == text:
            continue
        if "--check" in sys.argv:
            stale.append(name)
        else:
            path.write_text(text)
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run `make docs` and commit it\n")
    return 1 if stale else 0


def _openapi() -> dict[str, Any]:
    """With the routes of the fleet, which is plugged into the cloud's process."""
    with tempfile.TemporaryDirectory() as folder:
        transport, clock = MemoryBroker().transport(), SystemClock()
        stopping, dead = threading.Event(), DeadWorkers()
        around = Surroundings(transport, clock, NoTails(), None, stopping, dead)
        Authority.create(Path(folder), ["localhost"], SystemClock())
        return openapi([open_fleet(FleetSettings(folder=Path(folder)), around)])


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _messages() -> str:
    lines = [
        "# Messages",
        "",
        f"Topics are `{PREFIX}/{{site}}/{{line}}/{{device}}/{{channel}}`; channels: "
        + ", ".join(f"`{channel}`" for channel in CHANNELS)
        + ".",
        "",
        (
            f"A payload is `{wire.MAGIC.decode()}`, one byte of version ({wire.VERSION}), the "
            "header's length as a big-endian uint16, the header in msgpack, and the body. At most "
            f"{wire.MAX_HEADER:,} B of header and {wire.MAX_BODY:,} B of body are read. Unknown "
            "fields are ignored, an unknown version is refused."
        ),
        "",
    ]
    for message in MESSAGES:
        info = msgspec.inspect.type_info(message)
        assert isinstance(info, msgspec.inspect.StructType)  # noqa: S101 - narrows the type
        lines += [f"## {info.tag or message.__name__}", "", (message.__doc__ or "").strip(), ""]
        lines += ["| field | type |", "|---|---|"]
        lines += [f"| `{f.encode_name}` | {_type_name(f.type)} |" for f in info.fields]
        lines.append("")
    return "\n".join(lines)


def _type_name(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.LiteralType(values=values) | msgspec.inspect.EnumType(cls=values):
            return " or ".join(f"`{value}`" for value in values)
        case msgspec.inspect.UnionType(types=(kind, msgspec.inspect.NoneType())):
            return f"{_type_name(kind)}, or nil"
        case (
            msgspec.inspect.ListType(item_type=item) | msgspec.inspect.VarTupleType(item_type=item)
        ):
            return f"list of {_type_name(item)}"
        case msgspec.inspect.TupleType(item_types=items):
            return f"{len(items)} × {_type_name(items[0])}"
        case msgspec.inspect.StructType(cls=cls):
            return f"{cls.__name__} as an array"
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def _exit_codes() -> str:
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in exit_codes().items())
    return f"# Exit codes\n\n| code | meaning |\n|---|---|\n{rows}\n"


def _commands() -> str:
    lines = ["# Commands", "", "Each also answers `--help`.", ""]
    for path, command in all_commands():
        lines += [f"## splitsight {path}", "", (command.help or "").strip(), ""]
        described = [
            f"| `{'`, `'.join(p.opts)}` | {(getattr(p, 'help', '') or '').strip()} |"
            for p in command.params
        ]
        if described:
            lines += ["| option | meaning |", "|---|---|", *described, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
