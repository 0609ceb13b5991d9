"""YAML configuration and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from shared.errors import SettingsError
from shared.settings import Settings, load_settings, validate


class Log(Settings):
    kind: Literal["log"] = "log"


class Modbus(Settings):
    kind: Literal["modbus"] = "modbus"
    host: str
    coil: int = Field(ge=0, le=65535)


class Camera(Settings):
    width: int = Field(640, gt=0)
    url: str = Field("", pattern="^$|^rtsp://")


class Renamed(Settings):
    renamed: ClassVar[Mapping[str, str]] = {"colour": "paint", "lens.size": "camera.width"}

    paint: str = "red"
    camera: Camera = Field(default_factory=lambda: Camera.model_validate({}))
    lens: dict[str, int] = Field(default_factory=dict)


class Plant(Settings):
    site: str
    port: int = Field(1883, ge=1, le=65535)
    share: float = Field(0.5, ge=0, le=1)
    fast: bool = False
    password: SecretStr | None = None
    cameras: list[Camera] = Field(default_factory=list)
    actuator: Annotated[Log | Modbus, Field(discriminator="kind")] = Log()
    spares: list[Annotated[Log | Modbus, Field(discriminator="kind")]] = Field(default_factory=list)


def load(folder: Path, text: str) -> Plant:
    path = folder / "line2.yaml"
    path.write_text(text)
    return load_settings(path, Plant)


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(folder, text)
    return str(caught.value)


def test_a_configuration_selects_an_implementation_by_its_kind(tmp_path: Path) -> None:
    plant = load(tmp_path, "site: a\nactuator: {kind: modbus, host: plc, coil: 3}\n")
    assert plant.actuator == Modbus(host="plc", coil=3)


TWENTY = """\
sitee: a
port: 99999
share: 1.5
fast: perhaps
cameras:
  - width: 0
  - widht: 3
  - width: wide
    url: http://x
  - {}
  - 7
  - width: -1
    hight: 3
    urls: 3
actuator:
  kind: modbus
  coil: 70000
  hots: x
spares:
  - kind: modbas
  - host: x
  - kind: modbus
    host: plc
    coil: -3
  - kind: log
    coil: 3
colour: red
"""
WANTED = [
    "line2.yaml:1: site is missing",
    "line2.yaml:1: sitee is not a setting (did you mean site?)",
    "line2.yaml:2: port: input should be less than or equal to 65535 (found 99999)",
    "line2.yaml:3: share: input should be less than or equal to 1 (found 1.5)",
    "line2.yaml:4: fast: input should be a valid boolean",
    "line2.yaml:6: cameras.0.width: input should be greater than 0 (found 0)",
    "line2.yaml:7: cameras.1.widht is not a setting (did you mean width?)",
    "line2.yaml:8: cameras.2.width: input should be a valid integer",
    "line2.yaml:9: cameras.2.url: string should match",
    "line2.yaml:11: cameras.4: input should be a valid dictionary",
    "line2.yaml:12: cameras.5.width: input should be greater than 0 (found -1)",
    "line2.yaml:13: cameras.5.hight is not a setting",
    "line2.yaml:14: cameras.5.urls is not a setting (did you mean url?)",
    "line2.yaml:15: actuator.host is missing",
    "line2.yaml:17: actuator.coil: input should be less than or equal to 65535 (found 70000)",
    "line2.yaml:18: actuator.hots is not a setting (did you mean host?)",
    'line2.yaml:20: spares.0.kind: "modbas" is not one of log, modbus (did you mean modbus?)',
    "line2.yaml:21: spares.1.kind is missing",
    "line2.yaml:24: spares.2.coil: input should be greater than or equal to 0 (found -3)",
    "line2.yaml:26: spares.3.coil is not a setting (known: kind)",
    "line2.yaml:27: colour is not a setting (known: actuator, cameras",
]


def test_twenty_one_mistakes_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    said = complaint(tmp_path, TWENTY)
    assert said.startswith("21 mistakes in line2.yaml\n")
    lines = said.splitlines()[1:]
    missed = [w for w in WANTED if not any(line.strip().startswith(w) for line in lines)]
    assert not missed, said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("site: [", "line2.yaml:1: not YAML"),
        ("site: a\nport: 1: 2", "line2.yaml:2: not YAML"),
        ("site: a\n\tport: 1", "line2.yaml:2: not YAML"),
        ("site: !!python/object:os.system x", "line2.yaml:1: not YAML"),
        ("site: a\x00", "line2.yaml: not YAML"),
        ("site: 2026-13-45", "line2.yaml: not YAML"),
        ("- 1\n- 2", "line2.yaml holds"),
        ("just words", "line2.yaml holds"),
        ("", "line2.yaml: site is missing"),
    ],
)
def test_what_is_no_mapping_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml can't be read"):
        load_settings(tmp_path / "nowhere.yaml", Plant)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "line2.yaml").write_bytes("site: é".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"line2\.yaml can't be read"):
        load_settings(tmp_path / "line2.yaml", Plant)


@pytest.mark.parametrize(
    "text", ["password: 83746", "password: [hunter83746]", "password: {a: 83746}"]
)
def test_a_mistaken_password_is_not_repeated(tmp_path: Path, text: str) -> None:
    said = complaint(tmp_path, f"site: a\n{text}")
    assert "line2.yaml:2: password" in said
    assert "83746" not in said


def test_a_mistaken_address_is_repeated_without_its_password(tmp_path: Path) -> None:
    said = complaint(tmp_path, "site: a\ncameras: [{url: 'http://admin:83746@10.0.0.1'}]")
    assert "http://***@10.0.0.1" in said
    assert "83746" not in said


def test_settings_do_not_change() -> None:
    plant = validate({"site": "a"}, Plant, "here")
    with pytest.raises(ValueError, match="frozen"):
        plant.site = "b"


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
trees = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Plant.model_fields, "kind", "host", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*Plant.model_fields, "x"]), trees, max_size=5))
def test_any_values_are_settings_or_a_settings_error(values: dict[str, object]) -> None:
    said = ""
    try:
        validate(values, Plant, "here")
    except SettingsError as error:
        said = str(error)
    assert not said or " in here\n  here: " in said


@given(st.text(max_size=60))
def test_any_text_is_settings_or_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError):
        load_settings(path, Plant)


def test_a_key_by_its_old_name_counts_as_the_new_one_and_leaves_what_was_given_alone() -> None:
    given = {"colour": "blue", "lens": {"size": 7, "count": 2}}
    found = validate(given, Renamed, "plant.yaml")
    assert (found.paint, found.camera.width, found.lens) == ("blue", 7, {"count": 2})
    assert given == {"colour": "blue", "lens": {"size": 7, "count": 2}}


def test_a_key_by_both_names_is_refused_with_the_one_to_keep() -> None:
    with pytest.raises(SettingsError, match="colour is paint by its old name: keep paint"):
        validate({"colour": "blue", "paint": "red"}, Renamed, "plant.yaml")


def test_a_mistake_in_a_value_by_its_old_name_is_still_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"camera\.width: input should be greater than 0"):
        validate({"lens": {"size": 0}}, Renamed, "plant.yaml")
