"""A base network's file: the same arrays give the same bytes, and nothing else is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.errors import FederationError
from shared.federation.base_network import BaseNetwork, write_base

ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(7)}


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write_base(tmp_path / "base.npz", ARRAYS, {"height": 64})
    base = BaseNetwork.read(tmp_path / "base.npz")
    assert base.architecture == {"height": 64}
    assert base.arrays.keys() == ARRAYS.keys()
    assert all(np.array_equal(base.arrays[name], ARRAYS[name]) for name in ARRAYS)


def test_the_same_arrays_have_the_same_sha256_and_others_another(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_base(tmp_path / f"{name}.npz", ARRAYS, {})
    write_base(tmp_path / "other.npz", {**ARRAYS, "n": np.array(8)}, {})
    one, two, other = (
        BaseNetwork.read(tmp_path / f"{name}.npz").sha256 for name in ("one", "two", "other")
    )
    assert one == two != other


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x80\x04."])
def test_what_is_no_base_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "base.npz").write_bytes(content)
    with pytest.raises(FederationError, match=r"base\.npz is no base network"):
        BaseNetwork.read(tmp_path / "base.npz")


def test_a_pickle_in_the_file_is_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "base.npz", a=np.array([{"evil": 1}], dtype=object))
    with pytest.raises(FederationError, match="is no base network"):
        BaseNetwork.read(tmp_path / "base.npz")


def test_an_archive_without_an_architecture_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "base.npz", a=np.zeros(3))
    with pytest.raises(FederationError, match="architecture"):
        BaseNetwork.read(tmp_path / "base.npz")
