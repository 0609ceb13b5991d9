"""What our TUF client uses of python-tuf beyond its promises: says what a new version moved.

Where one of these fails, `edge/updates/trust/tuf_client.py` is the only file to change.
"""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from pathlib import Path

from tuf.ngclient import Updater
from tuf.ngclient.config import EnvelopeType

from tests.edge.tuf_simulator import Simulator


def test_the_time_of_expiry_checks_can_be_set(tmp_path: Path) -> None:
    root = Simulator().published["root"][0]
    updater = Updater(str(tmp_path), "http://127.0.0.1/", bootstrap=root)
    assert isinstance(updater._trusted_set.reference_time, datetime), (
        "Updater._trusted_set.reference_time is gone: find where expiry takes its time from"
    )
    updater._trusted_set.reference_time = datetime(2000, 1, 1, tzinfo=UTC)
    assert not updater._trusted_set.root.is_expired(updater._trusted_set.reference_time)
    assert EnvelopeType.METADATA is updater.config.envelope_type


def test_every_file_is_written_by_the_method_that_we_flush_in() -> None:
    assert list(inspect.signature(Updater._persist_file).parameters) == ["self", "filename", "data"]
    for writer in (Updater._persist_metadata, Updater._persist_root):
        assert "self._persist_file(" in inspect.getsource(writer), (
            f"{writer.__name__} writes past _persist_file: what it writes is not flushed"
        )


def test_local_metadata_is_read_by_the_method_that_we_call() -> None:
    assert list(inspect.signature(Updater._load_local_metadata).parameters) == ["self", "rolename"]
