from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from edge.actuator.mqtt import MqttActuatorSettings
from edge.camera.base import CAMERAS
from edge.camera.folder import KIND, FolderSettings
from edge.configuration.settings import json_schema, load_edge_settings
from shared.errors import SettingsError

GOOD = """\
site: plant
line: line-2
device: box-7
bundle: bundles/elpv
broker:
  host: broker.local
camera:
  kind: folder
  path: pictures
  rate: 10
runtime:
  name: onnx
  threads: 2
actuator:
  kind: mqtt
  topic: plant/ejector
journal:
  path: /var/lib/splitsight/journal.db
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "line2.yaml"
        path.write_text(text)
        return path

    return write


Write = Callable[[str], Path]


def test_a_configuration_selects_kinds_and_resolves_paths(write: Write, tmp_path: Path) -> None:
    settings = load_edge_settings(write(GOOD))
    assert isinstance(settings.camera, FolderSettings)
    assert isinstance(settings.actuator, MqttActuatorSettings)
    assert settings.bundle == tmp_path / "bundles/elpv"
    assert settings.camera.path == tmp_path / "pictures"
    assert settings.journal.path == Path("/var/lib/splitsight/journal.db")
    assert settings.deadline_ms == 500


def test_a_misspelt_kind_is_named_with_file_line_and_the_nearest(write: Write) -> None:
    text = GOOD.replace("kind: mqtt", "kind: mqt")
    with pytest.raises(SettingsError) as raised:
        load_edge_settings(write(text))
    assert re.search(
        r'line2\.yaml:15: actuator\.kind: "mqt" is not one of log, mqtt.* \(did you mean mqtt\?\)',
        str(raised.value),
    )


MISTAKES = [
    ("site: plant", "site: pl/ant", "1: site"),
    ("line: line-2\n", "", "line is missing"),
    ("bundle: bundles", "bundel: bundles", "bundel is not a setting (did you mean bundle?)"),
    ("host: broker", "hots: broker", "broker.hots is not a setting (did you mean host?)"),
    ("rate: 10", "rate: -1", "camera.rate: input should be greater than or equal to 0"),
    ("rate: 10", "loop: maybe", "camera.loop: input should be a valid boolean"),
    ("path: pictures\n", "speed: 1\n", "camera.speed is not a setting"),
    ("path: pictures\n", "\n", "camera.path is missing"),
    ("kind: folder", "kind: webcam", 'camera.kind: "webcam" is not one of folder, '),
    ("name: onnx", "name: tensorrt", "runtime.name: is not one of auto, "),
    ("threads: 2", "threads: -1", "runtime.threads: input should be greater"),
    ("topic: plant/ejector", "topic: plant/+", "actuator.topic: string should match pattern"),
    ("path: /var", "max_bytes: 5\n  path: /var", "journal.max_bytes: input should be greater"),
    ("path: /var", "ring_keep: some\n  path: /var", "journal.ring_keep: input should be"),
]


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES)
def test_each_mistake_is_named(write: Write, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(SettingsError) as raised:
        load_edge_settings(write(GOOD.replace(old, new)))
    assert said in str(raised.value)


def test_many_mistakes_are_reported_at_once(write: Write) -> None:
    wrong = "\n".join(f"wrong{index}: 1" for index in range(12))
    text = GOOD.replace("rate: 10", "rate: -1").replace("name: onnx", "name: x") + wrong
    text = text.replace("threads: 2", "threads: -1").replace("plant/ejector", "a/#")
    text = text.replace(
        "  path: /var", "  max_bytes: 1\n  ring_bytes: -1\n  ring_keep: x\n  path: /var"
    )
    text = text.replace("line: line-2", "line: /")
    with pytest.raises(SettingsError, match="20 mistakes"):
        load_edge_settings(write(text))


@pytest.mark.parametrize("rate", ["-1", "3601", ".inf", ".nan", "many"])
def test_a_control_sample_of_no_possible_size_is_refused(write: Write, rate: str) -> None:
    with pytest.raises(SettingsError, match="parts_per_hour"):
        load_edge_settings(
            write(GOOD + f"control:\n  usual_pace: 3600\n  parts_per_hour: {rate}\n")
        )


def test_no_part_is_drawn_as_a_control_unless_it_is_configured(write: Write) -> None:
    assert load_edge_settings(write(GOOD)).control.parts_per_hour == 0
    asked = load_edge_settings(write(GOOD + "control: {parts_per_hour: 4, usual_pace: 400}\n"))
    assert asked.control.share == 0.01
    with pytest.raises(SettingsError, match="parts_per_hour needs usual_pace beside it"):
        load_edge_settings(write(GOOD + "control: {parts_per_hour: 4}\n"))


def test_a_promise_is_not_measured_with_other_thresholds_than_its_own(write: Write) -> None:
    gate = "gate: {pass_below: 0.1, reject_from: 0.9}\n"
    with pytest.raises(SettingsError, match="leave one of them out"):
        load_edge_settings(write(GOOD + gate + "control: {parts_per_hour: 4, usual_pace: 400}\n"))


def test_gate_thresholds_in_the_wrong_order_are_refused(write: Write) -> None:
    with pytest.raises(SettingsError, match="pass_below must not lie above reject_from"):
        load_edge_settings(write(GOOD + "gate:\n  pass_below: 0.9\n  reject_from: 0.1\n"))


def test_the_schema_accepts_what_the_loader_accepts() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    example: dict[str, Any] = yaml.safe_load(GOOD)
    jsonschema.validate(example, schema)
    del example["camera"]["path"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(example, schema)


def test_the_example_in_the_docs_is_valid_where_it_says_to_copy_it(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    copied = tmp_path / "line1.yaml"
    shutil.copy(root / "docs" / "examples" / "edge.yaml", copied)
    settings = load_edge_settings(copied)
    assert settings.bundle.relative_to(tmp_path) == Path("bundles/elpv")
    assert (root / settings.bundle.relative_to(tmp_path) / "manifest.json").exists()


def test_a_plug_in_that_can_not_be_loaded_fails_alone() -> None:
    entries = [
        EntryPoint("gone", "no_such_module:KIND", CAMERAS.name),
        EntryPoint("folder", "edge.camera.folder:KIND", CAMERAS.name),
        EntryPoint("odd", "edge.camera.folder:SUFFIXES", CAMERAS.name),
        EntryPoint("typo", "edge.camera.folder:KINDS", CAMERAS.name),
    ]
    loaded = {entry.name: entry for entry in CAMERAS.load_all(entries)}
    assert loaded["folder"].kind is KIND
    assert "no_such_module" in loaded["gone"].error
    assert "not a CameraKind" in loaded["odd"].error
    assert loaded["typo"].kind is None
