"""A plug-in that hangs costs `doctor` its own row."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.commands.doctor import loaded_in_time, plugged_in_checks
from shared.plugins.group import PluginGroup

GROUP = "doctor_test.things"
ENTRIES = """[doctor_test.things]
good = doctor_test_good:thing
hangs = doctor_test_hangs:thing

[doctor_test.checks]
raises = doctor_test_raises:checks
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package with a plug-in whose module never comes to its end, until it is let go."""
    info = tmp_path / "doctor_test-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: doctor-test\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (tmp_path / "doctor_test_gate.py").write_text("import threading\nopened = threading.Event()\n")
    (tmp_path / "doctor_test_good.py").write_text("def thing(): ...\n")
    (tmp_path / "doctor_test_hangs.py").write_text(
        "import doctor_test_gate\ndoctor_test_gate.opened.wait(60)\ndef thing(): ...\n"
    )
    (tmp_path / "doctor_test_raises.py").write_text("def checks(): raise KeyError('no')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import doctor_test_gate  # type: ignore[import-not-found]

    yield doctor_test_gate
    doctor_test_gate.opened.set()
    for name in [name for name in sys.modules if name.startswith("doctor_test_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("installed")
def test_a_plug_in_whose_module_hangs_is_told_and_the_others_are_loaded() -> None:
    group: PluginGroup[Any] = PluginGroup(GROUP, "thing")
    good, hangs = loaded_in_time(group, 1.0)
    assert (good.name, good.error) == ("good", "")
    assert hangs.kind is None
    assert hangs.error == "loading it hangs: it has not returned for 1 s"


@pytest.mark.usefixtures("installed")
def test_checks_that_raise_are_a_row() -> None:
    (row,) = plugged_in_checks("doctor_test.checks")
    assert not row["ok"]
    assert row["found"] == "can't be checked: KeyError: 'no'"
