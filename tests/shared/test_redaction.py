from __future__ import annotations

import json
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.address import CameraAddress, DatabaseAddress
from shared.commands.doctor import broker_checks
from shared.errors import CameraError, SettingsError
from shared.redaction import KnownSecrets, redact
from shared.settings import Settings, load_settings
from shared.worker import DeadWorkers
from tests.support.planted import DATABASES, PLANTED, RTSP


class Broker(Settings):
    password: SecretStr | None = None
    token: SecretStr | None = None
    port: int = 1


class Config(Settings):
    broker: Broker = Broker()
    url: CameraAddress | None = None
    names: tuple[str, ...] = ()


@pytest.mark.parametrize("raw", RTSP.values(), ids=RTSP)
def test_of_a_camera_s_address_the_host_alone_is_shown(raw: str) -> None:
    address = CameraAddress(raw)
    assert address.get_secret_value() == raw
    for shown in (str(address), repr(address), f"{address}", repr({"url": address})):
        assert PLANTED not in shown
    assert Config(url=address).model_dump_json().count(PLANTED) == 0
    assert PLANTED not in repr(Config.model_validate({"url": raw}))


def test_a_host_and_a_port_stay_readable() -> None:
    assert str(CameraAddress("rtsp://cam-3.plant:554/ch1")) == "rtsp://cam-3.plant:554/***"
    assert str(CameraAddress("rtsp://me:pw@[fd00::1]:554")) == "rtsp://***@[fd00::1]:554"
    assert str(DatabaseAddress("sqlite:////data/x.db")) == "sqlite:////data/x.db"
    shown = str(DatabaseAddress("postgresql+psycopg://me:pw@db:5432/records"))
    assert shown == "postgresql+psycopg://***@db:5432/records"


@pytest.mark.parametrize("raw", [*RTSP.values(), *DATABASES.values()])
def test_what_a_library_quotes_of_an_address_is_scrubbed(raw: str) -> None:
    kind = CameraAddress if raw.startswith("rtsp") else DatabaseAddress
    address = kind(raw)
    for text in (raw, f"can't open '{raw}'", f"failed to resolve host '{PLANTED}@127.0.0.1'"):
        assert PLANTED not in redact(text)
        assert PLANTED not in str(CameraError(f"{text}: {address}"))


@given(st.text(min_size=4, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_a_known_secret_survives_nowhere(secret: str, before: str, after: str) -> None:
    known = KnownSecrets()
    known.add(secret)
    if len(secret.strip()) >= 6:
        assert secret not in known.scrub(f"{before}{secret}{after}").replace("***", "")
    assert known.scrub("a part passed") == "a part passed" or secret.strip() in "a part passed"


def test_short_secrets_are_not_cut_out_of_words() -> None:
    known = KnownSecrets()
    for secret in ("a", "pas", "pass"):
        known.add(secret)
    assert known.scrub("a bypass has passed") == "a bypass has passed"
    assert known.scrub("with pass alone") == "with *** alone"


@pytest.mark.parametrize(
    "text",
    [
        f"- {PLANTED}\n",
        f"{PLANTED}\n",
        f"broker:\n  password: *{PLANTED}\n",
        f"broker:\n  password: !{PLANTED}\n",
        f'broker:\n  password: "{PLANTED}\n',
        f"broker: password {PLANTED}\n",
        f"broker: [{PLANTED}]\n",
        f"broker:\n  password: {PLANTED}\n  port: {PLANTED}\n",
        f"broker:\n  pasword: {PLANTED}\n",
        f"broker:\n  token: [{PLANTED}]\n",
        f"url: rtps://me:{PLANTED}@host/\n",
        f"url: http://host/ch?x={PLANTED}\n",
        f"broker:\n  password: {PLANTED}\n bad: x\n",
        f"broker: {{password: {PLANTED}\n",
        f"broker:\n\tpassword: {PLANTED}\n",
    ],
)
def test_a_mistake_in_a_file_quotes_no_secret(tmp_path: Path, text: str) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, Config)
    assert PLANTED not in str(caught.value)
    assert PLANTED not in "".join(traceback.format_exception(caught.value))
    assert PLANTED not in _doctor(path)


def _doctor(path: Path) -> str:
    try:
        return json.dumps(list(broker_checks(path)))
    except SettingsError as error:
        return str(error)


def test_a_broken_line_says_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text(f"names: []\nbroker:\n  password: *{PLANTED}\n")
    with pytest.raises(SettingsError, match=r"edge.yaml:3: not YAML: found undefined alias"):
        load_settings(path, Config)


def test_a_dead_thread_tells_no_secret() -> None:
    dead = DeadWorkers()
    dead("camera", RuntimeError(f"no stream at {RTSP['userinfo']}"))
    assert PLANTED not in str(dead.problems)


CRASHES = """
import logging, sys, threading
from shared import log
from shared.address import CameraAddress
from shared.commands.root import run
log.configure()
address = CameraAddress({raw!r})
raw = address.get_secret_value()
def crash():
    raise RuntimeError("library says " + raw)
log.get_logger("x").warning("event", text=raw, deep={{"a": [raw], raw: 1}}, error=ValueError(raw))
try:
    crash()
except RuntimeError:
    log.get_logger("x").exception("failed")
logging.getLogger("uvicorn.error").error("said %s", raw)
logging.getLogger("urllib3").warning("retry %s", raw, exc_info=ValueError(raw))
thread = threading.Thread(target=crash)
thread.start()
thread.join()
assert run(crash) == 1
crash()
"""


@pytest.mark.process
@pytest.mark.parametrize("form", ["userinfo", "path", "named in the path", "query", "space in it"])
def test_neither_a_log_nor_a_crash_tells_a_secret(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASHES.format(raw=RTSP[form])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("library says") >= 4
    assert done.stderr.count('"event": "library_said"') == 2
    assert PLANTED not in done.stdout + done.stderr
