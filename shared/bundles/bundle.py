"""A bundle: one model release. Open it, describe it, write it.

A folder, or the same files in one uncompressed zip. Every file is checked against the
manifest's sha256 when it is read, so that nothing runs that the manifest does not promise.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from shared.bundles.manifest import CODEC, GOLDEN, MANIFEST, MAX_FILE, REQUIRED, Manifest
from shared.bundles.robustness import ROBUSTNESS, Robustness, judge_of
from shared.bundles.scores import TESTED, ScoredParts
from shared.errors import BundleError, BundleMismatch
from shared.features.codec import CodecTables, FeatureCodec
from shared.features.novelty import NOVELTY, Novelty
from shared.opener import TooLarge, Unopenable, open_zip, read_file, read_member, require_plain
from shared.storage.arrays import read_arrays
from shared.storage.files import PUBLIC, replace_file, replacing
from shared.wire import MAX_BODY

MOST_MANIFEST = 4 << 20
MOST_GOLDEN = 16
MOST_TOGETHER = 2 * MAX_FILE


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs and what the model made of them when the bundle was built.

    inputs        uint8 (n, c, h, w)
    edge_scores   the int8 head's, float32 (n,); float_scores the float head's
    symbols       int8 (n, c, h, w)
    tail_scores   the tail's own, float32 (n,)
    payload       the first input's encoded symbols
    """

    inputs: NDArray[np.uint8]
    edge_scores: NDArray[np.float32]
    symbols: NDArray[np.int8]
    tail_scores: NDArray[np.float32]
    payload: bytes
    float_scores: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            inputs=self.inputs,
            edge_scores=self.edge_scores,
            symbols=self.symbols,
            tail_scores=self.tail_scores,
            payload=np.frombuffer(self.payload, np.uint8),
            float_scores=self.float_scores,
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(
        cls, raw: bytes, picture: tuple[int, int, int], features: tuple[int, int, int]
    ) -> Golden:
        """Of a bundle whose head takes `picture` and gives `features`, both (c, h, w).

        Raises BundleError where arrays are missing or not as described, and for more of them
        than `MOST_GOLDEN` before they are unpacked.
        """
        most = MOST_GOLDEN * (prod(picture) + prod(features) + 64) + MAX_BODY
        try:
            arrays = read_arrays(raw, min(most, MAX_FILE))
            golden = cls(
                arrays["inputs"],
                arrays["edge_scores"],
                arrays["symbols"],
                arrays["tail_scores"],
                arrays["payload"].tobytes(),
                arrays["float_scores"],
            )
        except KeyError as error:
            raise BundleError(f"{GOLDEN} holds no {error}", fix=_AGAIN) from error
        except Unopenable as error:
            raise BundleError(f"{GOLDEN} can't be read ({error})", fix=_AGAIN) from error
        count = len(golden.edge_scores)
        found = golden.inputs.shape, golden.symbols.shape
        wanted = (count, *picture), (count, *features)
        if found != wanted or golden.inputs.dtype != np.uint8 or golden.symbols.dtype != np.int8:
            raise BundleError(
                f"{GOLDEN} has inputs and symbols of shape {found}, the manifest says {wanted}",
                fix=_AGAIN,
            )
        return golden


class Bundle:
    """An opened bundle. Files are read and checked when they are first wanted."""

    def __init__(self, path: Path, manifest: Manifest, manifest_bytes: bytes) -> None:
        self.path = path
        self.manifest = manifest
        self.id = hashlib.sha256(manifest_bytes).hexdigest()[:16]

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Raises BundleError where there is no bundle or its manifest can't be read."""
        raw = _read(path, MANIFEST, most=MOST_MANIFEST)
        try:
            manifest = Manifest.model_validate_json(raw)
        except ValidationError as error:
            raise BundleError(f"{path / MANIFEST}: {_problems(error)}", fix=_AGAIN) from error
        lacking = [name for name in REQUIRED if name not in manifest.files]
        if lacking:
            raise BundleError(f"{path} lists no {', '.join(lacking)}", fix=_AGAIN)
        return cls(path, manifest, raw)

    def read(self, name: str) -> bytes:
        """One file's bytes. Raises BundleMismatch where they are not what is promised."""
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.path.name} has no {name}", fix=_AGAIN)
        # The manifest says how much that is, so that no more is ever unpacked.
        try:
            raw = _read(self.path, name, most=entry.bytes)
        except BundleError as error:
            if isinstance(error.__cause__, TooLarge):
                raise BundleMismatch(f"{error.__cause__}", fix=_AGAIN) from error
            raise
        found = hashlib.sha256(raw).hexdigest()
        if found != entry.sha256:
            raise BundleMismatch(
                f"{name} has sha256 {found[:12]}…, the manifest says {entry.sha256[:12]}…",
                fix=_AGAIN,
            )
        return raw

    @cached_property
    def codec(self) -> FeatureCodec:
        tables = CodecTables.from_json(self.read(CODEC))
        return FeatureCodec.of(tables, self.manifest.features.shape)

    @cached_property
    def golden(self) -> Golden:
        manifest = self.manifest
        return Golden.from_bytes(self.read(GOLDEN), manifest.input.shape, manifest.features.shape)

    @cached_property
    def novelty(self) -> Novelty | None:
        """Tells what is unlike anything that the network was shown; None where nothing does,
        or where the file is another pair's.

        Raises BundleError where it does not hold together.
        """
        if NOVELTY not in self.manifest.files:
            return None
        raw, manifest = self.read(NOVELTY), self.manifest
        return Novelty.from_bytes(raw, manifest.pair, manifest.features.channels)

    @cached_property
    def tested(self) -> ScoredParts | None:
        """The scores of the parts that the certificate was tested on; None where there are none,
        or where the file is another pair's.

        Raises BundleError where they do not hold together.
        """
        if TESTED not in self.manifest.files:
            return None
        return ScoredParts.from_bytes(self.read(TESTED), self.manifest.pair)

    @cached_property
    def robustness(self) -> Robustness | None:
        """How it fares on disturbed pictures; None where nobody measured it, or where the file
        is another judge's.

        Raises BundleError where it can't be read.
        """
        if ROBUSTNESS not in self.manifest.files:
            return None
        return Robustness.from_bytes(self.read(ROBUSTNESS), judge_of(self.manifest))

    @property
    def size(self) -> int:
        return sum(entry.bytes for entry in self.manifest.files.values())


def write_bundle(path: Path, manifest: Mapping[str, object], files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle as a folder, or as one file where `path` ends in `.zip`.

    manifest   every field but `files`
    The bundle appears under its name only when it is complete.
    """
    entries = {
        name: {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
        for name, raw in files.items()
    }
    everything = {MANIFEST: _manifest_bytes(manifest, entries), **files}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        _write_zip(path, everything)
    else:
        with replacing(path) as partial:
            partial.mkdir()
            for name, raw in everything.items():
                (partial / name).write_bytes(raw)
    return Bundle.open(path)


def amend_bundle(
    bundle: Bundle,
    changes: Mapping[str, object],
    path: Path | None = None,
    files: Mapping[str, bytes | None] | None = None,
) -> Bundle:
    """Write a bundle with other fields in its manifest; its files stay as they are.

    path    where to; without it in place, where a folder's models are not written again
    files   other files, or None for one that is left out; what is as it was changes nothing
    What a changed field makes void, say a certificate of another gate, is left out. Raises
    BundleError for fields that can't be, and where another process has changed the bundle since
    it was opened.
    """
    target = path or bundle.path
    fields = bundle.manifest.model_dump(exclude={"files"}) | dict(changes)
    others = {name: raw for name, raw in (files or {}).items() if _differs(bundle, name, raw)}
    kept = _files(bundle, without=others) | {n: raw for n, raw in others.items() if raw is not None}
    if target.resolve() != bundle.path.resolve():
        return write_bundle(target, fields, kept)
    if Bundle.open(target).id != bundle.id:
        raise BundleError(f"{target} was changed meanwhile", fix="run the command again")
    if others:
        return write_bundle(target, fields, kept)
    manifest = _manifest_bytes(fields, bundle.manifest.model_dump()["files"])
    if target.is_dir():
        replace_file(target / MANIFEST, manifest, mode=PUBLIC)
    else:
        _write_zip(target, {MANIFEST: manifest, **_files(bundle)})
    return Bundle.open(target)


def pack_bundle(bundle: Bundle, path: Path, *, without: Collection[str] = ()) -> Bundle:
    """Write a bundle, its manifest unchanged, as one zip file.

    The same bundle gives the same bytes, wherever it lies, and with them the same release.
    without   files that are left out; the manifest still promises them
    Raises BundleMismatch for a file that is not what is promised.
    """
    names = sorted(set(bundle.manifest.files) - set(without))
    manifest = _read(bundle.path, MANIFEST, most=MOST_MANIFEST)
    _write_zip(path, {MANIFEST: manifest, **{name: bundle.read(name) for name in names}})
    return Bundle.open(path)


def _files(bundle: Bundle, without: Collection[str] = ()) -> dict[str, bytes]:
    return {name: bundle.read(name) for name in bundle.manifest.files if name not in without}


def _differs(bundle: Bundle, name: str, raw: bytes | None) -> bool:
    entry = bundle.manifest.files.get(name)
    if raw is None or entry is None:
        return (raw is None) != (entry is None)
    return entry.sha256 != hashlib.sha256(raw).hexdigest()


def _manifest_bytes(
    fields: Mapping[str, object], entries: Mapping[str, Mapping[str, object]]
) -> bytes:
    try:
        checked = Manifest.model_validate({**fields, "files": entries})
    except ValidationError as error:
        raise BundleError(
            f"a bundle can't be written with this manifest: {_problems(error)}",
            fix="correct these fields",
        ) from error
    return json.dumps(checked.model_dump(mode="json"), indent=2).encode() + b"\n"


def _write_zip(path: Path, everything: Mapping[str, bytes]) -> None:
    with replacing(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, raw in everything.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), raw)


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()
    )


def _read(path: Path, name: str, most: int) -> bytes:
    try:
        if path.is_dir():
            return read_file(path, name, most)
        with open_zip(path, MOST_TOGETHER) as archive:
            return read_member(archive, require_plain(name), most)
    except (OSError, Unopenable) as error:
        raise BundleError(
            f"{path} is not a bundle: {name} can't be read ({error})",
            fix="give the folder or zip file that `splitsight cloud train` wrote",
        ) from error


_AGAIN = "fetch the bundle again, or rebuild it with `make bundle`"
