"""Private keys in files: Ed25519, PKCS#8, readable by their owner only."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from shared.errors import ReleaseError
from shared.storage.files import sync_folder

PASSPHRASE_VARIABLE = "SPLITSIGHT_KEY_PASSPHRASE"  # noqa: S105 - the variable's name


def make_key(path: Path, passphrase: str | None = None) -> CryptoSigner:
    """Write a new key, encrypted where a passphrase is given. Never over another key.

    Raises ReleaseError where the file exists or can't be written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        Encoding.PEM,
        PrivateFormat.PKCS8,
        BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption(),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(path.parent)
    except FileExistsError as error:
        raise ReleaseError(f"{path} holds a key already", fix="give another folder") from error
    except OSError as error:
        raise ReleaseError(f"{path} can't be written ({error})", fix="check the folder") from error
    return CryptoSigner(key)


def load_key(path: Path, passphrase: str | None = None) -> CryptoSigner:
    """Raises ReleaseError where there is no key, or another passphrase opens it."""
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase.encode() if passphrase else None)
    except OSError as error:
        raise ReleaseError(f"{path} can't be read ({error})", fix="bring the key here") from error
    except TypeError:
        # Some keys of a folder may be encrypted and others not.
        if passphrase:
            return load_key(path)
        raise ReleaseError(
            f"{path} is encrypted", fix=f"give its passphrase in {PASSPHRASE_VARIABLE}"
        ) from None
    except ValueError as error:
        raise ReleaseError(
            f"{path} can't be opened", fix="check the passphrase, and that it is a private key"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseError(f"{path} is no Ed25519 key", fix="give a key that splitsight made")
    return CryptoSigner(key)


def key_passphrase() -> str | None:
    """What locks people's keys, where this shell says so."""
    return os.environ.get(PASSPHRASE_VARIABLE)
