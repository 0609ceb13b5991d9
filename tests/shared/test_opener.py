from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.opener import (
    MOST_PIXELS,
    TooLarge,
    Unopenable,
    open_zip,
    read_file,
    read_member,
    read_yaml,
    require_picture,
    require_plain,
)
from shared.storage.arrays import read_array, read_arrays

MEBI = 1 << 20


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def bomb(path: Path, member: str, claimed: int, header: bytes = b"") -> None:
    """A megabyte that unpacks to `claimed` bytes."""
    info = zipfile.ZipInfo(member)
    info.compress_type = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(info, "w") as stream,
    ):
        stream.write(header)
        for _ in range(claimed // MEBI):
            stream.write(bytes(MEBI))


def npy_header(shape: str, dtype: str = "|u1") -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/x", "a/b", "", ".", "..", ".hidden", "a\\..\\b", "a\0b", "-x", "x" * 200, "a\n"],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(Unopenable, match="not a plain file name"):
        require_plain(name)


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "head.onnx").symlink_to(tmp_path / "secret")
    with pytest.raises(Unopenable, match="links are not followed"):
        read_file(tmp_path / "inside", "head.onnx", 10)


def test_a_pipe_or_a_folder_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(Unopenable, match="is not a file"):
            read_file(tmp_path, name, 10)


def test_a_file_may_be_as_large_as_promised(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    assert read_file(tmp_path, "a", 10) == bytes(10)
    with pytest.raises(TooLarge, match="10 B, at most 9"):
        read_file(tmp_path, "a", 9)


def test_an_archive_that_claims_too_much_is_refused_before_it_is_unpacked() -> None:
    raw = zipped({"a": bytes(1000), "b": bytes(1000)})
    with open_zip(io.BytesIO(raw), 2000) as archive:
        assert read_member(archive, "a") == bytes(1000)
        with pytest.raises(TooLarge):
            read_member(archive, "b", 999)
        with pytest.raises(Unopenable, match="holds no c"):
            read_member(archive, "c")
    with pytest.raises(Unopenable, match="unpacks to 2000 B"):
        open_zip(io.BytesIO(raw), 1999)


def test_an_index_of_many_files_is_refused_before_it_is_read() -> None:
    raw = zipped({f"{n}": b"" for n in range(5000)})
    with pytest.raises(Unopenable, match="lists 5000 files"):
        open_zip(io.BytesIO(raw), MEBI)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(Unopenable, match="one file twice"):
        open_zip(stream, MEBI)


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.sampled_from(
            [
                np.arange(6, dtype=np.float32).reshape(2, 3),
                np.asfortranarray(np.arange(6).reshape(2, 3)),
                np.array(3.5),
                np.array([True]),
                np.zeros((0, 3), np.int8),
                np.arange(3, dtype=">i4"),
            ]
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_arrays_come_back_as_numpy_wrote_them(
    arrays: dict[str, NDArray[Any]], packed: bool
) -> None:
    stream = io.BytesIO()
    save = np.savez_compressed if packed else np.savez
    save(stream, **arrays)  # type: ignore[arg-type]
    found = read_arrays(stream.getvalue(), MEBI)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
        assert found[name].flags.writeable


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (npy_header("(1073741824,)"), "claims 1073741824 B"),
        (npy_header("(4611686018427387904, 4)", "<f8"), "claims"),
        (npy_header("(-1,)"), "shape"),
        (npy_header("(4611686018427387904,)", "|V0"), "numbers were wanted"),
        (npy_header("(1,)", "|O"), "numbers were wanted"),
        (npy_header("(1,)", "<U1000000"), "numbers were wanted"),
        (npy_header("'x'"), "no array"),
        (npy_header("(1.5,)"), "no array"),
        (npy_header("(" * 150), "no array"),
        (npy_header("-" * 9000 + "1"), "no array"),
        (b"", "no array"),
        (b"\x93NUMPY\x09\x00", "no array"),
        (b"\x93NUMPY\x01\x00\xff\xff", "no array"),
    ],
)
def test_a_header_that_claims_what_is_not_there_is_refused(header: bytes, said: str) -> None:
    with pytest.raises(Unopenable, match=said):
        read_array(header)
    with pytest.raises(Unopenable, match=said):
        read_arrays(zipped({"a.npy": header}), MEBI)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_array_or_unopenable(raw: bytes) -> None:
    for content in (raw, npy_header("(3,)") + raw, zipped({"a.npy": raw})):
        with suppress(Unopenable):
            read_array(content)
        with suppress(Unopenable):
            read_arrays(content, MEBI)


BOUNDED = """
import resource, sys
from pathlib import Path
from shared.bundles.bundle import Bundle, Golden
from shared.errors import BundleError
from shared.opener import Unopenable
from shared.storage.arrays import read_arrays
raw = Path(sys.argv[1]).read_bytes()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (96 << 20), used + (96 << 20)))
try:
    if sys.argv[2] == "golden":
        Golden.from_bytes(raw, (3, 224, 224), (32, 14, 14))
    else:
        read_arrays(raw, 64 << 20)
except (BundleError, Unopenable) as error:
    print(error)
else:
    sys.exit("it was taken")
"""


@pytest.mark.process
@pytest.mark.parametrize("reader", ["golden", "arrays"])
def test_a_megabyte_that_claims_a_gigabyte_is_refused_in_bounded_memory(
    tmp_path: Path, reader: str
) -> None:
    path = tmp_path / "golden.npz"
    bomb(path, "inputs.npy", 1 << 30, npy_header("(1073741824,)"))
    assert path.stat().st_size < 2 * MEBI
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(path), reader],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "unpacks to 1073741" in done.stdout


@pytest.mark.process
def test_a_member_that_has_more_than_it_claims_is_refused_in_bounded_memory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "arrays.npz"
    bomb(path, "a.npy", 1 << 30)
    raw = bytearray(path.read_bytes())
    index = raw.rindex(b"PK\x01\x02")
    raw[index + 24 : index + 28] = struct.pack("<I", 1000)
    path.write_bytes(raw)
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(path), "arrays"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "a.npy" in done.stdout


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp"])
def test_a_real_picture_passes(ending: str) -> None:
    _, encoded = cv2.imencode(ending, np.zeros((30, 40, 3), np.uint8))
    require_picture(encoded.tobytes(), 30 * 40)
    if ending != ".bmp":
        with pytest.raises(TooLarge, match="40 x 30"):
            require_picture(encoded.tobytes(), 30 * 40 - 1)


def test_a_picture_that_claims_a_gigapixel_is_refused_by_its_header() -> None:
    with pytest.raises(TooLarge, match="32000 x 32000"):
        require_picture(png(32_000, 32_000))
    _, encoded = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))
    raw = bytearray(encoded.tobytes())
    place = raw.index(b"\xff\xc0") + 5
    raw[place : place + 4] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(TooLarge, match="60000 x 60000"):
        require_picture(bytes(raw))
    assert MOST_PIXELS > 12_000 * 12_000


@given(st.binary(max_size=100), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_have_a_size_or_none(raw: bytes, start: bytes) -> None:
    with suppress(TooLarge):
        require_picture(start + raw)


def test_yaml_that_unfolds_without_end_is_refused() -> None:
    laughs = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    with pytest.raises(Unopenable, match="unfolds to more"):
        read_yaml(laughs)
    with pytest.raises(Unopenable, match="holds itself"):
        read_yaml("a: &a [*a]")
    with pytest.raises(Unopenable, match="nested deeper"):
        read_yaml("[" * 200 + "]" * 200)
    with pytest.raises(Unopenable, match="nested deeper"):
        read_yaml("[" * 5000)
    with pytest.raises(Unopenable, match="characters"):
        read_yaml("x" * (MEBI + 1))


def test_yaml_is_read_as_it_was() -> None:
    node, values = read_yaml("a: &a {b: 1}\nc: *a\n")
    assert isinstance(node, yaml.MappingNode)
    assert values == {"a": {"b": 1}, "c": {"b": 1}}
    assert read_yaml("# nothing") == (None, None)


def test_many_threads_read_arrays_at_once() -> None:
    raw = {n: npy_header(f"({n},)") + bytes(n) for n in range(1, 9)}

    def read(n: int) -> bool:
        return all(read_array(raw[n]).shape == (n,) for _ in range(300))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, raw))
