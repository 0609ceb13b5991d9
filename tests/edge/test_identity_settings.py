"""What a box can be told of its identity, and what `doctor` says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog

from edge.checks import config_checks
from edge.configuration.settings import load_edge_settings
from edge.identity.folder import IdentityFolder
from edge.identity.settings import DeviceIdentitySettings
from fleet.identity.authority import Authority
from fleet.identity.requests import read_request
from shared.clock import SystemClock
from shared.errors import IdentityError, SettingsError

BOX = """\
site: plant
line: line
device: box-1
bundle: bundle
camera: {kind: folder, path: pictures}
actuator: {kind: log}
"""
IDENTITY = "identity: {folder: held, gateway: 'https://cloud:8443', ca: ca.pem}\n"


def config(folder: Path, text: str = BOX + IDENTITY) -> Path:
    path = folder / "edge.yaml"
    path.write_text(text)
    return path


def test_paths_start_at_the_configuration(tmp_path: Path) -> None:
    identity = load_edge_settings(config(tmp_path)).identity
    assert identity is not None
    assert identity.tls.ca == tmp_path / "ca.pem"
    assert identity.tls.certificate == tmp_path / "held" / "identity.pem"
    assert identity.token() is None


def test_the_name_of_the_last_release_is_read_and_said_to_be_old(tmp_path: Path) -> None:
    old = config(tmp_path, (BOX + IDENTITY).replace("gateway: ", "door: "))
    with structlog.testing.capture_logs() as logs:
        assert load_edge_settings(old) == load_edge_settings(config(tmp_path))
    (remark,) = [line for line in logs if line["event"] == "setting_renamed"]
    assert (remark["old"], remark["new"]) == ("door", "gateway")


@pytest.mark.parametrize(
    ("gateway", "good"),
    [
        ("https://cloud:8443", True),
        ("https://10.0.0.5/", True),
        ("http://cloud:8443", False),
        ("cloud:8443", False),
        ("https://cloud/est", False),
        ("https://", False),
        ("https://cloud?x=1", False),
    ],
)
def test_a_gateway_is_an_https_address_and_nothing_else(gateway: str, good: bool) -> None:
    values = {"gateway": gateway, "ca": "ca.pem"}
    if good:
        found = DeviceIdentitySettings.model_validate(values)
        assert found.gateway == gateway.rstrip("/")
    else:
        with pytest.raises(ValueError, match="must be https://HOST:PORT"):
            DeviceIdentitySettings.model_validate(values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "identity: {gateway: 'https://a', ca: ca.pem, claim: abc, claim_file: c}\n",
            "claim and claim_file are both set",
        ),
        (
            "broker: {tls: {ca: ca.pem}}\n" + IDENTITY,
            r"broker\.tls comes from identity",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_edge_settings(config(tmp_path, BOX + text))


def test_a_claim_is_not_shown_in_errors_or_logs(tmp_path: Path) -> None:
    identity = IDENTITY.replace("}", ", claim: 7344OPJgydM}")
    settings = load_edge_settings(config(tmp_path, BOX + identity))
    assert "7344OPJgydM" not in repr(settings)
    assert settings.identity is not None
    assert settings.identity.token() == "7344OPJgydM"


def give_certificate(folder: Path, device: str, days: float) -> None:
    authority = Authority.create(folder / "fleet", ["cloud"], SystemClock())
    files = IdentityFolder(folder / "held")
    files.adopt(authority.issue(read_request(files.request(device)), days))


def identity_row(path: Path) -> Any:
    found, *_ = config_checks(path)
    return found


def test_doctor_misses_a_certificate(tmp_path: Path) -> None:
    found = identity_row(config(tmp_path))
    assert (found["ok"], found["found"]) == (False, "no certificate yet")
    assert "splitsight fleet claim" in found["fix"]


@pytest.mark.parametrize(
    ("device", "days", "ok", "said"),
    [
        ("box-1", 90.5, True, "valid for 90 more days"),
        ("box-1", 10.5, False, "valid for 10 more days"),
        ("box-2", 90.5, False, "the certificate is for box-2"),
    ],
)
def test_doctor_looks_at_the_certificate(
    tmp_path: Path, device: str, days: float, ok: bool, said: str
) -> None:
    give_certificate(tmp_path, device, days)
    found = identity_row(config(tmp_path))
    assert (found["ok"], bool(found["fix"])) == (ok, not ok)
    assert said in found["found"]


def test_doctor_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "identity.pem").write_text("nonsense")
    found = identity_row(config(tmp_path))
    assert not found["ok"]
    assert "can't be read" in found["found"]


def test_doctor_has_nothing_to_say_of_a_box_without_identity(tmp_path: Path) -> None:
    assert config_checks(config(tmp_path, BOX)) == []


def test_an_authority_that_is_missing_is_named(tmp_path: Path) -> None:
    from edge.identity.est import EstClient

    with pytest.raises(IdentityError, match=r"identity\.ca: .*nowhere"):
        EstClient("https://cloud", tmp_path / "nowhere", SystemClock())


def test_enrolling_without_an_identity_says_what_to_write(tmp_path: Path) -> None:
    from edge.cli import enrol

    with pytest.raises(SettingsError, match="has no identity; add `identity:` with gateway and ca"):
        enrol(config(tmp_path, BOX))
