"""The cloud's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from cloud.configuration.settings import TailRuntimeSettings, json_schema, load_cloud_settings
from shared.address import DatabaseAddress
from shared.errors import SettingsError
from shared.plugins.services import service_kinds

ROOT = Path(__file__).parents[3]
SECURE = "secure: {ca: a, certificate: b, key: c, crl: d}"


def written(folder: Path, text: str) -> Path:
    path = folder / "cloud.yaml"
    path.write_text(text)
    return path


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    settings = load_cloud_settings(written(tmp_path, "bundles: [a, /b/c]"))
    assert settings.bundles == [tmp_path / "a", Path("/b/c")]
    assert settings.database == DatabaseAddress(f"sqlite:///{tmp_path / 'splitsight.db'}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bundles: []", "cloud.yaml:1: bundles"),
        ("bundles: [a]\napi: {host: 0.0.0.0}", "set api.tls, or in api.proxies"),
        ("bundles: [a]\napi: {proxies: [nginx]}", "is no address"),
        ("bundles: [a]\napi: {host: 0.0.0.0, proxies: [127.0.0.1]}", "in the open"),
        ("bundles: [a]\napi: {host: plant.example}", "passwords would travel in the open"),
        ("bundles: [a]\napi: {token: short}", "16 characters"),
        ("bundles: [a]\nbroker: {host: 10.0.0.1}", "open to everyone"),
        ("bundles: [a]\ndatabase: mysql://u:secret@h/d", "mysql://…"),
        ("bundles: [a]\ntail: {max_bach: 4}", "did you mean max_batch?"),
        (f"bundles: [a]\nembedded_broker: {{kind: iotcore, {SECURE}}}", "iotcore can't refuse"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_cloud_settings(written(tmp_path, text))
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_secure_listener_may_be_reached_from_elsewhere(tmp_path: Path) -> None:
    files = "ca: ca.pem, certificate: c.pem, key: c.key, crl: /etc/crl.pem"
    text = f"bundles: [a]\nembedded_broker: {{secure: {{host: 0.0.0.0, {files}}}}}"
    secure = load_cloud_settings(written(tmp_path, text)).embedded_broker.secure
    assert secure is not None
    assert (secure.ca, secure.crl) == (tmp_path / "ca.pem", Path("/etc/crl.pem"))


@pytest.mark.parametrize("more", ["tls: {certificate: a, key: b}", "proxies: [10.0.0.0/24]"])
def test_another_host_is_fine_with_tls_or_behind_a_proxy(tmp_path: Path, more: str) -> None:
    settings = load_cloud_settings(written(tmp_path, f"bundles: [a]\napi: {{host: '::', {more}}}"))
    assert not settings.api.exposed


def test_another_host_is_fine_with_a_token(tmp_path: Path) -> None:
    text = "bundles: [a]\napi: {host: 0.0.0.0, token: 0123456789abcdef}"
    assert "0123456789abcdef" not in repr(load_cloud_settings(written(tmp_path, text)))


def test_the_example_is_valid_and_shows_the_defaults() -> None:
    example = load_cloud_settings(ROOT / "docs/examples/cloud.yaml")
    placed = {"bundles": example.bundles, "database": example.database}
    api = {"first_account": example.api.first_account}
    plain = example.model_validate({**placed, "api": api})
    assert example == plain


def test_the_schema_describes_every_setting() -> None:
    assert set(json_schema()["properties"]) == {
        "bundles",
        "broker",
        "embedded_broker",
        "database",
        "runtime",
        "tail",
        "api",
        "keep_maps",
        "quota",
        "retention",
        "alerts",
        "drift",
        "shifts",
        "prices",
        "pictures",
        *service_kinds(),
    }


def test_names_of_the_last_release_are_read_and_said_to_be_old(tmp_path: Path) -> None:
    old = "bundles: [a]\ntail: {runtime: onnx, device: GPU, threads: 2, max_batch: 4}\n"
    with structlog.testing.capture_logs() as logs:
        settings = load_cloud_settings(written(tmp_path, f"{old}fleet: {{door: {{port: 9443}}}}\n"))
    assert settings.runtime == TailRuntimeSettings(name="onnx", device="GPU", threads=2)
    assert settings.tail.max_batch == 4
    fleet = settings.model_dump()["fleet"]
    assert fleet["gateway"]["port"] == 9443
    assert {(line["old"], line["new"]) for line in logs if line["event"] == "setting_renamed"} == {
        ("tail.runtime", "runtime.name"),
        ("tail.device", "runtime.device"),
        ("tail.threads", "runtime.threads"),
        ("door", "gateway"),
    }
