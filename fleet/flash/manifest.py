"""What an image consists of, signed: its sizes, its hashes, its versions."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.errors import ImageError

FORMAT = 1
BLOCK = 1 << 20
MAX_BYTES = 1 << 20
HOME = Path(os.environ.get("XDG_CONFIG_HOME", "~/.config")).expanduser() / "splitsight"
KEY = HOME / "image.key"


class ImagePiece(msgspec.Struct, frozen=True):
    """A partition with content. Bytes; `size` and `sha256` are of the content, not of the room."""

    label: str
    start: int
    room: int
    size: int
    sha256: str


class ImageManifest(msgspec.Struct, frozen=True, kw_only=True):
    """size: of the image; bmap: sha256 of the file that lists its used blocks and their hashes."""

    format: int = FORMAT
    profile: str
    version: str
    debian: str
    kernel: str
    size: int
    bmap: str
    identity: str
    pieces: tuple[ImagePiece, ...]

    def piece(self, label: str) -> ImagePiece:
        """Raises KeyError where there is none."""
        for piece in self.pieces:
            if piece.label == label:
                return piece
        raise KeyError(label)


class Signed(msgspec.Struct, frozen=True):
    """The file. `manifest` is signed as it stands there; `signature` is Ed25519, hex."""

    manifest: msgspec.Raw
    signature: str


def manifest_path(image: Path) -> Path:
    return image.with_name(image.name + ".json")


def bmap_path(image: Path) -> Path:
    return image.with_name(image.name + ".bmap")


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """The key that signs; made, with its public half beside it, where there is none."""
    try:
        if not path.exists():
            return _make_key(path)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise ImageError(f"the key {path} can't be used ({error})", fix="name another") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ImageError(f"the key {path} is not an Ed25519 key", fix="name another")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Raises ImageError."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ImageError(
            f"the public key {path} can't be read ({error})",
            fix="copy the .pub file from the machine that built the image, and name it "
            "with --public-key",
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ImageError(f"{path} is not an Ed25519 public key", fix="name another")
    return key


def write_manifest(image: Path, manifest: ImageManifest, key: Ed25519PrivateKey) -> None:
    raw = msgspec.json.encode(manifest)
    signed = Signed(msgspec.Raw(raw), key.sign(raw).hex())
    manifest_path(image).write_bytes(msgspec.json.encode(signed))


def read_manifest(image: Path, key: Ed25519PublicKey) -> ImageManifest:
    """What an image is, its signature checked. Raises ImageError."""
    path = manifest_path(image)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{image} has no manifest beside it ({error.strerror})",
            fix=f"copy {path.name} along with the image",
        ) from error
    try:
        signed = msgspec.json.decode(raw[:MAX_BYTES], type=Signed)
        key.verify(bytes.fromhex(signed.signature), bytes(signed.manifest))
        manifest = msgspec.json.decode(signed.manifest, type=ImageManifest)
    except InvalidSignature as error:
        raise ImageError(
            f"{path.name} is not signed by the key that was given",
            fix="use the image as it was built, and the public key of who built it",
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ImageError(f"{path.name} is no manifest ({error})", fix="copy it again") from error
    if manifest.format != FORMAT:
        raise ImageError(
            f"{path.name} has format {manifest.format}, this version reads {FORMAT}",
            fix="flash it with the version that built it",
        )
    return manifest


def _make_key(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(secret)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    path.with_suffix(".pub").write_bytes(public)
    return key
