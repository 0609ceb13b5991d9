"""Our TUF client behind the commands that the suite tuf-conformance calls.

    python -m tests.support.tuf_conformance --metadata-dir DIR init ROOT
    python -m tests.support.tuf_conformance --metadata-dir DIR --metadata-url URL refresh
    python -m tests.support.tuf_conformance --metadata-dir DIR --metadata-url URL --target-name PATH
        --target-base-url URL --target-dir DIR download

Exit code 0 where all went well, else 1.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tuf.api.exceptions import DownloadError

from edge.updates.transfer.fetch import Fetcher, GatewayEndpoint, open_pool
from edge.updates.trust.releases import Payload, no_release
from edge.updates.trust.tuf_client import Trust
from shared.clock import SystemClock
from shared.errors import ReleaseError, SplitsightError

ROOT = "trusted_root"
"""Not `.json`, since the suite takes every such file for metadata that is trusted now."""


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        _COMMANDS[given.command](given)
    except SplitsightError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def init(given: argparse.Namespace) -> None:
    for name in (ROOT, "root.json"):
        shutil.copyfile(given.trusted_root, given.metadata_dir / name)


def refresh(given: argparse.Namespace) -> None:
    _trust(given).refresh()


def download(given: argparse.Namespace) -> None:
    trust = _trust(given)
    trust.refresh()
    payload = trust.payload(given.target_name)
    if payload is None:
        raise no_release(given.target_name)
    place = given.target_dir / quote(given.target_name, "")
    if place.exists() and _is(place.read_bytes(), payload):
        return
    url = trust.url(payload)
    try:
        raw = Fetcher(open_pool(_gateway(given))).download_bytes(url, payload.length)
    except DownloadError as error:
        raise ReleaseError(f"{url} can't be read ({error})") from error
    if not _is(raw, payload):
        raise ReleaseError(f"{url} is not what was signed")
    place.write_bytes(raw)


def _is(raw: bytes, payload: Payload) -> bool:
    return (len(raw), hashlib.sha256(raw).hexdigest()) == (payload.length, payload.sha256)


def _gateway(given: argparse.Namespace) -> GatewayEndpoint:
    # The suite's base URL is that of `targets` itself.
    base = (given.target_base_url or "").rstrip("/").removesuffix("/targets")
    return GatewayEndpoint(base, metadata_url=given.metadata_url)


def _trust(given: argparse.Namespace) -> Trust:
    root = (given.metadata_dir / ROOT).read_bytes()
    return Trust(given.metadata_dir, _gateway(given), root, SystemClock())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.support.tuf_conformance")
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name")
    parser.add_argument("--target-base-url")
    parser.add_argument("--target-dir", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    return parser


_COMMANDS = {"init": init, "refresh": refresh, "download": download}

if __name__ == "__main__":
    sys.exit(main())
