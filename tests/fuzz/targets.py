"""What reads bytes that somebody else wrote: each target takes any bytes, and may only refuse them.

A target raises what its product code must not raise. Of what it accepts it checks what the code
behind it relies on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cloud.configuration.settings import load_cloud_settings
from cloud.datasets.readers import read
from cloud.pictures.assembly import PictureAssembly
from cloud.pictures.base import BadAnswer
from cloud.web.labels import GivenLabel
from edge.camera.decoding import decode_picture, encode_jpeg
from edge.configuration.settings import load_edge_settings
from fleet.identity.requests import read_request
from shared import wire
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import CODEC, GOLDEN, MANIFEST
from shared.contracts import InspectionKey, PictureKind
from shared.errors import (
    CameraError,
    CodecError,
    FederationError,
    IdentityError,
    SplitsightError,
    WireError,
)
from shared.features.codec import LADDER, FeatureCodec, tables_from_symbols
from shared.features.depth import WrongPixels, eight_bit
from shared.features.pixel_settings import AS_IT_IS
from shared.federation import protocol, questions, secure_aggregation
from shared.federation.flower_private import message_from_bytes
from tests.bundles import make_bundle, picture
from tests.fuzz.http_calls import HttpCalls
from tests.fuzz.signed_metadata import SignedMetadata

Fuzzed = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Target:
    """make: what is fuzzed, in a folder of its own; seeds: bytes that it accepts, to begin with
    longest: input that is made up, bytes
    """

    make: Callable[[Path], Fuzzed]
    seeds: Callable[[Path], list[bytes]]
    longest: int = 4096


# Messages of box and cloud.


def _wire(_folder: Path) -> Fuzzed:
    def fuzzed(raw: bytes) -> None:
        try:
            message, body = wire.decode(raw, wire.Message)
        except WireError:
            return
        again, same = wire.decode(wire.encode(message, body), wire.Message)  # type: ignore[arg-type]
        assert (again, same) == (message, body)

    return fuzzed


def _messages(_folder: Path) -> list[bytes]:
    label = wire.PartLabel("b", 1, "reject", "crack", 1.0)
    drawn = wire.PartLabel("b", 3, "reject", "", 1.0, b"mask")
    return [
        wire.encode(one, body)
        for one, body in (
            (wire.Escalation("b", 1, 1, "pair", (2, 4, 4), 0.4, 1.0, 0.5), b"body"),
            (wire.CloudVerdict("b", 1, 1, "pass", 0.5), b""),
            (wire.Receipt("b", 1), b""),
            (wire.StateMessage("online", "b", 1.0, problems=("x",)), b""),
            (wire.Desired(1, targets={"model": "x"}, settings={"a": 1}), b""),
            (wire.Reported(1, "b", 1.0, facts={"a": 1.0}), b""),
            (wire.Labels([label]), b""),
            (wire.Labels([drawn], [wire.Withdrawal("b", 2, 2.0)]), b""),
            (wire.LabelReceipts([wire.LabelReceipt("b", 1, 1.0, kept=True)]), b""),
            (wire.Sketch("b", 1, "tiny", "", 1.0, 2.0, 3, {"score": {7: 3}}), b""),
            (wire.PictureRequest("r", "b", 1, "full", "w"), b""),
            (wire.PicturePiece("r", "b", 1, "region", 0, 4, "00", window=(0, 0, 1, 1)), b"body"),
            (wire.PictureRefusal("r", "b", 1, "map", "gone"), b""),
            (wire.RoundPiece("p", "query", 0, 4, 4, "00"), b"body"),
            (wire.RoundAsk("p", (0,)), b""),
            (wire.RoundOver("s"), b""),
        )
    ]


def _picture_answers(_folder: Path) -> Fuzzed:
    """What a box answers who asks for a picture: a message, or a picture in one piece."""
    asked = InspectionKey("box", "b", 1)

    def fuzzed(raw: bytes) -> None:
        kind: PictureKind = ("full", "region", "map")[raw[0] % 3] if raw else "full"
        try:
            message, body = wire.decode(raw[1:], wire.PictureMessage)
        except WireError:
            whole = hashlib.sha256(raw[1:]).hexdigest()
            told = ("r", "b", 1, kind, 0, len(raw) - 1, whole, whole[: wire.DIGEST])
            message, body = wire.PicturePiece(*told, (9, 9), (0, 0, 9, 9)), raw[1:]
        assembly = PictureAssembly(asked, kind, "")
        try:
            assembly.require_asked(message)
            if isinstance(message, wire.PicturePiece) and assembly.take(message, body):
                assert assembly.length <= wire.MAX_PICTURE
                if assembly.complete:
                    shown = assembly.picture()
                    assert shown.media in {"image/png", "image/jpeg"}
                    assert hashlib.sha256(shown.content).hexdigest() == shown.sha256
        except BadAnswer:
            return

    return fuzzed


def _answer_seeds(_folder: Path) -> list[bytes]:
    found = encode_jpeg(picture(90))
    sha256 = hashlib.sha256(found).hexdigest()
    told = ("r", "b", 1, "full", 0, len(found), sha256, sha256[: wire.DIGEST])
    refusal = wire.PictureRefusal("r", "b", 1, "full", "gone")
    whole = wire.encode(wire.PicturePiece(*told), found)  # type: ignore[arg-type]
    return [b"\0" + whole, b"\0" + wire.encode(refusal), b"\1" + found, b"\2" + found]


# Features.


def _small_codec() -> FeatureCodec:
    dice = np.random.default_rng(1)
    symbols = np.clip(dice.normal(0, 2, (8, 2, 4, 4)), -8, 8).astype(np.int8)
    return FeatureCodec.of(tables_from_symbols(symbols, 8), (2, 4, 4))


def _codec(_folder: Path) -> Fuzzed:
    codec = _small_codec()

    def fuzzed(raw: bytes) -> None:
        coarseness = LADDER[raw[0] % len(LADDER)] if raw else 7
        try:
            symbols = codec.decode(raw[1:], coarseness)
        except CodecError:
            return
        assert symbols.shape == codec.shape
        assert int(np.abs(symbols.astype(int)).max()) <= codec.limit
        again = codec.decode(codec.encode(symbols, coarseness), coarseness)
        assert np.array_equal(again, symbols)

    return fuzzed


def _bodies(_folder: Path) -> list[bytes]:
    codec, dice = _small_codec(), np.random.default_rng(2)
    symbols = np.clip(dice.normal(0, 2, codec.shape), -8, 8).astype(np.int8)
    return [
        bytes([place]) + codec.encode(symbols, coarseness)
        for place, coarseness in enumerate(LADDER)
    ]


# Files.

_MEMBERS = (MANIFEST, CODEC, GOLDEN)


def _bundle(folder: Path) -> Fuzzed:
    made = make_bundle(folder / "bundle").path
    kept = {name: (made / name).read_bytes() for name in _MEMBERS}
    archive = folder / "bundle.zip"

    def fuzzed(raw: bytes) -> None:
        which = raw[0] % (len(_MEMBERS) + 1) if raw else 0
        if which == len(_MEMBERS):
            archive.write_bytes(raw[1:])
            _read_bundle(archive)
            return
        (made / _MEMBERS[which]).write_bytes(raw[1:])
        try:
            _read_bundle(made)
        finally:
            (made / _MEMBERS[which]).write_bytes(kept[_MEMBERS[which]])

    return fuzzed


def _read_bundle(path: Path) -> None:
    try:
        bundle = Bundle.open(path)
        _ = bundle.codec, bundle.golden, bundle.novelty, bundle.manifest.gate.gate
    except SplitsightError:
        pass


def _bundles(folder: Path) -> list[bytes]:
    made = make_bundle(folder / "seed").path
    return [bytes([place]) + (made / name).read_bytes() for place, name in enumerate(_MEMBERS)]


def _text_file(name: str, read: Callable[[Path], object]) -> Callable[[Path], Fuzzed]:
    def make(folder: Path) -> Fuzzed:
        path = folder / name

        def fuzzed(raw: bytes) -> None:
            path.write_bytes(raw)
            try:
                read(path)
            except SplitsightError:
                return

        return fuzzed

    return make


def _settings(folder: Path) -> Fuzzed:
    kinds = [_text_file(name, read)(folder) for name, read in _SETTINGS]

    def fuzzed(raw: bytes) -> None:
        kinds[raw[0] % len(kinds) if raw else 0](raw[1:])

    return fuzzed


_SETTINGS: tuple[tuple[str, Callable[[Path], object]], ...] = (
    ("edge.yaml", load_edge_settings),
    ("cloud.yaml", load_cloud_settings),
)
_EDGE = b"""\
site: a
line: b
device: c
bundle: x
camera: {kind: folder, path: p}
actuator: {kind: log}
"""
_CLOUD = b"bundles: [x]\napi: {port: 8000}\n"


def _labels(folder: Path) -> Fuzzed:
    listed = _text_file("labels.csv", lambda path: read(str(path)))(folder)

    def fuzzed(raw: bytes) -> None:
        if raw[:1] == b"{":
            try:
                GivenLabel.model_validate_json(raw)
            except ValueError:
                return
        else:
            listed(raw)

    return fuzzed


def _label_seeds(_folder: Path) -> list[bytes]:
    return [
        b"image,mask,defect,part,domain,split\na.png,,good,1,x,train\nb.png,m.png,crack,2,x,test\n",
        b'{"verdict": "reject", "kind": "crack", "inspector": "A. Rossi"}',
    ]


def _pictures(_folder: Path) -> Fuzzed:
    def fuzzed(raw: bytes) -> None:
        try:
            pixels = eight_bit(decode_picture(raw, "as_is", "fuzzed"), AS_IT_IS)
        except (CameraError, WrongPixels):
            return
        assert pixels.dtype == np.uint8
        assert pixels.ndim in {2, 3}
        assert pixels.size

    return fuzzed


def _picture_seeds(_folder: Path) -> list[bytes]:
    # Codecs that are fuzzed by their own people; ours is what comes before them.
    small = picture(40, height=16, width=16)
    return [encode_jpeg(small), b"\x89PNG\r\n\x1a\n", b"P5 2 2 255\n1234", b"BM"]


# Rounds and releases.

_DECODERS: tuple[Callable[[bytes], object], ...] = (
    protocol.TrainOrder.decode,
    protocol.LabelCounts.decode,
    protocol.Refusal.decode,
    questions.Question.decode,
    questions.Comparison.decode,
    lambda raw: secure_aggregation.read(raw, secure_aggregation.Invitation),
    lambda raw: secure_aggregation.read(raw, secure_aggregation.Roster),
    lambda raw: secure_aggregation.read(raw, secure_aggregation.Deal),
    lambda raw: secure_aggregation.read(raw, secure_aggregation.Revealed),
)


def _rounds(_folder: Path) -> Fuzzed:
    def fuzzed(raw: bytes) -> None:
        which = raw[0] % (len(_DECODERS) + 1) if raw else 0
        try:
            if which == len(_DECODERS):
                message_from_bytes(raw[1:])
            else:
                _DECODERS[which](raw[1:])
        except (WireError, FederationError):
            return
        except ValueError:
            assert which == len(_DECODERS)

    return fuzzed


def _round_seeds(_folder: Path) -> list[bytes]:
    counts = protocol.LabelCounts("a", "00", {"x": 3}, {"x": 2}, 1)
    order = protocol.TrainOrder("run", "00", "11")
    standing = questions.ModelStanding(0.9, 0, 0, 1)
    made = [
        order.encode(),
        counts.encode(),
        protocol.Refusal(1001, "none").encode(),
        questions.Question("tally", "test").encode(),
        questions.Comparison(1, 1, 2, standing, standing).encode(),
        secure_aggregation.written(secure_aggregation.Invitation(b"0" * 32, 3, 1, 1.0, 1.0, 0.0)),
    ]
    return [bytes([place]) + raw for place, raw in enumerate(made)]


def _requests(_folder: Path) -> Fuzzed:
    def fuzzed(raw: bytes) -> None:
        try:
            found = read_request(raw)
        except IdentityError:
            return
        assert found.device

    return fuzzed


def _request_seeds(_folder: Path) -> list[bytes]:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return [made.public_bytes(Encoding.DER)]


TARGETS: Mapping[str, Target] = {
    "wire": Target(_wire, _messages),
    "answers": Target(_picture_answers, _answer_seeds),
    "codec": Target(_codec, _bodies, 256),
    "bundle": Target(_bundle, _bundles, 1 << 16),
    "settings": Target(_settings, lambda _folder: [b"\0" + _EDGE, b"\1" + _CLOUD]),
    "labels": Target(_labels, _label_seeds),
    "pictures": Target(_pictures, _picture_seeds),
    "rounds": Target(_rounds, _round_seeds),
    "releases": Target(SignedMetadata, lambda folder: SignedMetadata(folder).seeds()),
    "http": Target(HttpCalls, lambda folder: HttpCalls(folder).seeds()),
    "requests": Target(_requests, _request_seeds),
}
