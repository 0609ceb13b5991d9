"""The cases of tuf-conformance, as its public documentation and names tell them, written anew.

The suite itself is not on the package index and was not run; see docs/guides/releases.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from securesystemslib.signer import CryptoSigner

from edge.updates.transfer.fetch import GatewayEndpoint
from edge.updates.trust.tuf_client import Trust
from shared.clock import ManualClock
from shared.errors import ReleaseError
from tests.edge.tuf_simulator import Client, Simulator
from tests.fleet.releases.mirror import Mirror

FIRST = {"root": 1, "snapshot": 1, "targets": 1, "timestamp": 1}
PAST = datetime.now(UTC) - timedelta(days=5)


@pytest.fixture
def repo() -> Simulator:
    return Simulator()


@pytest.fixture
def mirror(repo: Simulator) -> Iterator[Mirror]:
    mirror = Mirror(repo.answer)
    mirror.start()
    yield mirror
    mirror.close()


@pytest.fixture
def client(tmp_path: Path, repo: Simulator, mirror: Mirror) -> Client:
    client = Client(tmp_path / "client", mirror, repo.published["root"][0])
    assert client.init() == 0
    return client


# Basics


def test_basic_init_and_refresh(client: Client, repo: Simulator) -> None:
    assert client.refresh() == 0
    assert repo.asked == [("root", 2), ("timestamp", None), ("snapshot", 1), ("targets", 1)]
    assert client.trusted() == FIRST


def test_implicit_refresh(client: Client, repo: Simulator) -> None:
    assert client.download("nothing here") == 1
    assert repo.asked == [("root", 2), ("timestamp", None), ("snapshot", 1), ("targets", 1)]
    assert client.trusted() == FIRST


def test_invalid_initial_root(tmp_path: Path, repo: Simulator, mirror: Mirror) -> None:
    root = json.loads(repo.published["root"][0])
    del root["signed"]["version"]
    client = Client(tmp_path / "invalid", mirror, json.dumps(root).encode())
    client.init()
    assert client.refresh() == 1
    assert repo.asked == []


def test_unsigned_initial_root(tmp_path: Path, repo: Simulator, mirror: Mirror) -> None:
    root = json.loads(repo.published["root"][0])
    root["signatures"][0]["sig"] = "00" * 64
    client = Client(tmp_path / "unsigned", mirror, json.dumps(root).encode())
    client.init()
    assert client.refresh() == 1
    assert repo.asked == []


def test_timestamp_eq_versions_check(client: Client, repo: Simulator) -> None:
    assert client.refresh() == 0
    kept = (client.metadata / "timestamp.json").read_bytes()
    repo.signed("timestamp").snapshot_meta.version = 100
    repo.publish("timestamp", bump=False)
    client.refresh()
    assert (client.metadata / "timestamp.json").read_bytes() == kept


def test_new_targets_hash_mismatch(client: Client, repo: Simulator) -> None:
    repo.hashes = True
    repo.publish_all("targets")
    assert client.refresh() == 0
    before = client.trusted()
    repo.publish_all("targets")
    repo.signed("targets").unrecognized_fields["x"] = 1
    repo.publish("targets", bump=False)
    assert client.refresh() == 1
    assert client.version("targets") == before["targets"]


def test_new_targets_version_mismatch(client: Client, repo: Simulator) -> None:
    assert client.refresh() == 0
    repo.publish("targets")
    assert client.refresh() == 0
    assert client.trusted() == FIRST


def test_custom_fields(client: Client, repo: Simulator) -> None:
    root = repo.signed("root")
    root.unrecognized_fields["custom-field"] = "value"
    root.keys[root.roles["root"].keyids[0]].unrecognized_fields["extra"] = {"a": 1}
    root.roles["root"].unrecognized_fields["another"] = "value"
    repo.publish("root")
    assert client.refresh() == 0
    assert client.version("root") == 2


def test_metadata_bytes_match(client: Client, repo: Simulator) -> None:
    repo.add("targets", "a", b"1")
    repo.publish_all("targets")
    assert client.refresh() == 0
    for role in FIRST:
        assert (client.metadata / f"{role}.json").read_bytes() == repo.published[role][-1]


# Expiry


def test_root_expired(client: Client, repo: Simulator) -> None:
    assert client.refresh() == 0
    repo.signed("root").expires = PAST
    repo.publish("root")
    repo.publish_all("targets")
    assert client.refresh() == 1
    assert client.trusted() == FIRST | {"root": 2}


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_top_level_expired(client: Client, repo: Simulator, role: str) -> None:
    assert client.refresh() == 0
    repo.signed(role).expires = PAST
    repo.publish_all("targets")
    assert client.refresh() == 1
    assert client.version(role) == 1


def test_expired_local_metadata_is_used_for_updating(
    tmp_path: Path, repo: Simulator, mirror: Mirror
) -> None:
    now = datetime.now(UTC)
    clock = ManualClock(utc=now.timestamp())
    repo.signed("timestamp").expires = now + timedelta(days=7)
    repo.publish("timestamp")
    root = repo.published["root"][0]
    Trust(tmp_path / "trust", GatewayEndpoint(mirror.url), root, clock).refresh()
    repo.signed("timestamp").expires = now + timedelta(days=21)
    repo.publish_all("targets")
    clock.advance(18 * 86_400)
    Trust(tmp_path / "trust", GatewayEndpoint(mirror.url), root, clock).refresh()


def test_delegated_targets_expired(client: Client, repo: Simulator) -> None:
    repo.delegate("targets", "delegated", paths=["path/*"])
    repo.add("delegated", "path/target", b"content")
    repo.signed("delegated").expires = PAST
    repo.publish_all("delegated", "targets")
    assert client.refresh() == 0
    assert client.download("path/target") == 1
    assert client.payloads() == []
    assert "delegated" not in client.trusted()


@pytest.mark.parametrize("renewed", [False, True])
def test_expired_local_delegated_targets(
    tmp_path: Path, repo: Simulator, mirror: Mirror, *, renewed: bool
) -> None:
    now = datetime.now(UTC)
    clock = ManualClock(utc=now.timestamp())
    repo.delegate("targets", "delegated", paths=["path/*"])
    repo.add("delegated", "path/target", b"content")
    repo.signed("delegated").expires = now + timedelta(days=7)
    repo.publish_all("delegated", "targets")
    root = repo.published["root"][0]
    assert Trust(tmp_path / "trust", GatewayEndpoint(mirror.url), root, clock).payload(
        "path/target"
    )
    if renewed:
        repo.signed("delegated").expires = now + timedelta(days=21)
        repo.publish_all("delegated")
    clock.advance(18 * 86_400)
    later = Trust(tmp_path / "trust", GatewayEndpoint(mirror.url), root, clock)
    if renewed:
        assert later.payload("path/target")
    else:
        with pytest.raises(ReleaseError, match="out of date"):
            later.payload("path/target")


# Rollback


def test_simple_snapshot_rollback(client: Client, repo: Simulator) -> None:
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 0
    repo.signed("snapshot").version = 1
    assert client.refresh() == 0
    assert client.version("snapshot") == 2
    assert repo.asked[-1] == ("timestamp", None)


def test_new_timestamp_version_rollback(client: Client, repo: Simulator) -> None:
    repo.publish("timestamp")
    assert client.refresh() == 0
    repo.signed("timestamp").version = 1
    repo.publish("timestamp", bump=False)
    assert client.refresh() == 1
    assert client.version("timestamp") == 2


@pytest.mark.parametrize("hashes", [False, True])
def test_snapshot_rollback(client: Client, repo: Simulator, *, hashes: bool) -> None:
    repo.hashes = hashes
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 0
    repo.signed("snapshot").version = 1
    repo.publish("snapshot", bump=False)
    repo.publish("timestamp")
    assert client.refresh() == 1
    assert (client.version("timestamp"), client.version("snapshot")) == (2, 2)
    assert repo.asked[-1] == ("timestamp", None)


@pytest.mark.parametrize("hashes", [False, True])
def test_targets_rollback(client: Client, repo: Simulator, *, hashes: bool) -> None:
    repo.hashes = hashes
    repo.publish("targets")
    repo.publish_all("targets")
    assert client.refresh() == 0
    assert client.version("targets") == 3
    repo.signed("targets").version = 1
    repo.publish("targets", bump=False)
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 1
    assert client.version("targets") == 3


def test_new_snapshot_version_mismatch(client: Client, repo: Simulator) -> None:
    repo.signed("timestamp").snapshot_meta.version = 2
    repo.publish("timestamp")
    assert client.refresh() == 1
    assert client.trusted() == {"root": 1, "timestamp": 2}


def test_new_targets_fast_forward_recovery(client: Client, repo: Simulator) -> None:
    repo.signed("targets").version = 99
    repo.publish_all("targets")
    assert client.refresh() == 0
    assert client.version("targets") == 100
    repo.rotate("snapshot")
    repo.publish("root")
    repo.signed("targets").version = 1
    repo.publish_all("targets")
    assert client.refresh() == 0
    assert client.version("targets") == 2


def test_new_snapshot_fast_forward_recovery(client: Client, repo: Simulator) -> None:
    repo.signed("snapshot").version = 99
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 0
    assert client.version("snapshot") == 100
    repo.rotate("snapshot")
    repo.rotate("timestamp")
    repo.publish("root")
    repo.signed("snapshot").version = 1
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 0
    assert client.version("snapshot") == 2


def test_new_timestamp_fast_forward_recovery(client: Client, repo: Simulator) -> None:
    repo.signed("timestamp").version = 99
    repo.publish("timestamp")
    assert client.refresh() == 0
    assert client.version("timestamp") == 100
    repo.rotate("timestamp")
    repo.publish("root")
    repo.signed("timestamp").version = 1
    repo.publish("timestamp")
    assert client.refresh() == 0
    assert client.version("timestamp") == 2


# Keys


def test_snapshot_threshold(client: Client, repo: Simulator) -> None:
    assert client.refresh() == 0
    for _ in range(4):
        repo.add_key("snapshot")
    repo.signed("root").roles["snapshot"].threshold = 6
    repo.publish("root", "snapshot", "timestamp")
    assert client.refresh() == 1
    assert client.version("snapshot") == 1
    repo.add_key("snapshot")
    repo.publish("root", "snapshot", "timestamp")
    assert client.refresh() == 0


def test_root_has_keys_but_not_snapshot(client: Client, repo: Simulator) -> None:
    repo.signed("root").roles["snapshot"].threshold = 2
    repo.signed("root").add_key(CryptoSigner.generate_ed25519().public_key, "snapshot")
    repo.publish("root", "snapshot", "timestamp")
    assert client.refresh() == 1
    assert client.version("root") == 2
    assert client.version("snapshot") is None


def test_wrong_hashing_algorithm(client: Client, repo: Simulator) -> None:
    root = repo.signed("root")
    key = root.keys[root.roles["snapshot"].keyids[0]]
    key.unrecognized_fields["keyid_hash_algorithms"] = ["md5"]
    repo.publish("root", "snapshot", "timestamp")
    assert client.refresh() == 0
    assert client.version("root") == 2


def test_duplicate_keys_root(client: Client, repo: Simulator) -> None:
    signer = repo.signers["snapshot"][0]
    role = repo.signed("root").roles["snapshot"]
    role.threshold = 2
    repo.publish("root")
    # The same key and signature under a list that names it twice counts once, or not at all.
    raw = json.loads(repo.published["root"][-1])
    raw["signed"]["roles"]["snapshot"]["keyids"] *= 2
    repo.published["root"][-1] = json.dumps(raw).encode()
    assert signer.public_key.keyid in role.keyids
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 1
    assert client.version("snapshot") is None


@pytest.mark.parametrize(
    "signer",
    [
        CryptoSigner.generate_ed25519,
        CryptoSigner.generate_ecdsa,
        lambda: CryptoSigner.generate_rsa(size=2048),
        lambda: CryptoSigner.generate_rsa(scheme="rsa-pkcs1v15-sha256", size=2048),
    ],
    ids=["ed25519", "ecdsa", "rsa-pss", "rsa-pkcs1"],
)
def test_keytype_and_scheme(client: Client, repo: Simulator, signer: type[CryptoSigner]) -> None:
    repo.signed("root").roles["timestamp"].keyids.clear()
    repo.signers["timestamp"].clear()
    repo.add_key("timestamp", signer())  # type: ignore[call-arg]
    repo.publish("root", "timestamp")
    assert client.refresh() == 0
    repo.publish("timestamp")
    changed = json.loads(repo.published["timestamp"][-1])
    changed["signed"]["version"] += 1
    repo.published["timestamp"][-1] = json.dumps(changed).encode()
    assert client.refresh() == 1


class Version(NamedTuple):
    """One version of a role: which keys it has, how many must sign, and which do."""

    keys: list[int]
    threshold: int
    signed: list[int]


FIVE = [0, 1, 2, 3, 4]
SWAPPED = [0, 1, 3, 4, 5]
ROOT_CHAINS: dict[str, tuple[list[Version], bool]] = {
    "1-of-1 rotated": ([Version([1], 1, [1]), Version([2], 1, [2, 1]), Version([2], 1, [2])], True),
    "unused signatures": ([Version([1], 1, [3, 1]), Version([2], 1, [3, 2, 1])], True),
    "3-of-5 other combinations": (
        [Version(FIVE, 3, [0, 2, 4]), Version(FIVE, 3, [0, 4, 1]), Version(FIVE, 3, [0, 1, 3])],
        True,
    ),
    "3-of-5 one rotated": ([Version(FIVE, 3, [0, 2, 4]), Version(SWAPPED, 3, [0, 4, 1])], True),
    "3-of-5 rotated in steps": (
        [
            Version(FIVE, 3, [0, 2, 4]),
            Version(SWAPPED, 3, [0, 2, 4, 5]),
            Version(SWAPPED, 3, [0, 4, 5]),
        ],
        True,
    ),
    "3-of-5 all rotated": (
        [
            Version(FIVE, 3, [0, 2, 4]),
            Version([5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7]),
            Version([5, 6, 7, 8, 9], 3, [5, 6, 7]),
        ],
        True,
    ),
    "threshold up": ([Version([1, 2, 3], 1, [1]), Version([1, 2, 3], 2, [1, 2])], True),
    "threshold down": (
        [
            Version([1, 2, 3], 2, [1, 2]),
            Version([1, 2, 3], 1, [1, 2]),
            Version([1, 2, 3], 1, [1]),
        ],
        True,
    ),
    "not signed by the old key": ([Version([1], 1, [1]), Version([2], 1, [2, 3])], False),
    "not signed by the new key": ([Version([1], 1, [1]), Version([2], 1, [1, 3])], False),
    "too few new keys": ([Version(FIVE, 3, [0, 2, 4]), Version(SWAPPED, 3, [0, 2, 4])], False),
    "too few old keys": ([Version(FIVE, 3, [0, 2, 4]), Version(SWAPPED, 3, [0, 4, 5])], False),
    "new threshold missed": ([Version([1, 2, 3], 1, [1]), Version([1, 2, 3], 2, [2])], False),
    "old threshold missed": ([Version([1, 2, 3], 2, [1, 2]), Version([1, 2, 3], 1, [1])], False),
}


@pytest.mark.parametrize(("chain", "good"), ROOT_CHAINS.values(), ids=ROOT_CHAINS)
def test_root_rotation(
    tmp_path: Path, repo: Simulator, mirror: Mirror, chain: list[Version], *, good: bool
) -> None:
    signers = [CryptoSigner.generate_ed25519() for _ in range(10)]
    repo.published["root"].clear()
    repo.signed("root").version = 0
    for version in chain:
        _shape(repo, "root", version, signers)
        repo.publish("root")
    client = Client(tmp_path / "rotated", mirror, repo.published["root"][0])
    client.init()
    assert client.refresh() == (0 if good else 1)
    believed = repo.published["root"][-1 if good else -2]
    assert (client.metadata / "root.json").read_bytes() == believed


OTHER_ROLES: dict[str, tuple[Version, bool]] = {
    "rotated": (Version([2], 1, [2]), True),
    "unused signatures": (Version([1], 1, [3, 1, 4]), True),
    "not signed by the new key": (Version([2], 1, [1, 3, 4]), False),
    "wrong keys": (Version(SWAPPED, 3, [0, 2, 4]), False),
    "threshold missed": (Version(SWAPPED, 3, [0, 4]), False),
    "3-of-5": (Version(FIVE, 3, [0, 2, 4]), True),
    "3-of-5 the last": (Version(FIVE, 3, [2, 3, 4]), True),
}


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize(("version", "good"), OTHER_ROLES.values(), ids=OTHER_ROLES)
def test_non_root_rotations(
    client: Client, repo: Simulator, role: str, version: Version, *, good: bool
) -> None:
    signers = [CryptoSigner.generate_ed25519() for _ in range(10)]
    _shape(repo, role, version, signers)
    repo.publish("root")
    repo.publish_all("targets")
    assert client.refresh() == (0 if good else 1)
    if good:
        assert (client.metadata / f"{role}.json").read_bytes() == repo.published[role][-1]


def _shape(repo: Simulator, role: str, version: Version, signers: list[CryptoSigner]) -> None:
    root = repo.signed("root")
    root.roles[role].keyids.clear()
    root.roles[role].threshold = version.threshold
    for number in version.keys:
        root.add_key(signers[number].public_key, role)
    repo.signers[role] = [signers[number] for number in version.signed]


# Of delegations: who delegates, to whom, which paths, and whether the search ends there

GRAPHS: dict[str, tuple[list[tuple[str, str, str, bool]], list[str]]] = {
    "one": ([("targets", "A", "*", False)], ["A"]),
    "two": ([("targets", "A", "*", False), ("targets", "B", "*", False)], ["A", "B"]),
    "depth first": (
        [
            ("targets", "A", "*", False),
            ("targets", "B", "*", False),
            ("A", "C", "*", False),
            ("C", "D", "*", False),
        ],
        ["A", "C", "D", "B"],
    ),
    "terminating": (
        [
            ("targets", "A", "*", False),
            ("targets", "B", "*", False),
            ("A", "C", "*", True),
            ("A", "D", "*", False),
            ("C", "E", "*", False),
        ],
        ["A", "C", "E"],
    ),
    "paths that don't match": (
        [("targets", "A", "*.py", False), ("targets", "B", "*", False), ("A", "C", "*", False)],
        ["B"],
    ),
    "a circle": (
        [
            ("targets", "A", "*", False),
            ("targets", "B", "*", False),
            ("B", "C", "*", False),
            ("C", "D", "*", False),
            ("D", "B", "*", False),
        ],
        ["A", "B", "C", "D"],
    ),
    "two ways to one": (
        [
            ("targets", "A", "*", False),
            ("targets", "B", "*", False),
            ("B", "C", "*", False),
            ("A", "C", "*", False),
        ],
        ["A", "C", "B"],
    ),
    "two ways, one matches": (
        [
            ("targets", "A", "*", False),
            ("targets", "B", "*", False),
            ("B", "C", "*", False),
            ("A", "C", "*.py", False),
        ],
        ["A", "B", "C"],
    ),
}


@pytest.mark.parametrize(("graph", "order"), GRAPHS.values(), ids=GRAPHS)
def test_graph_traversal(
    client: Client, repo: Simulator, graph: list[tuple[str, str, str, bool]], order: list[str]
) -> None:
    for above, name, paths, ends in graph:
        repo.delegate(above, name, paths=[paths], ends=ends)
    repo.publish_all(*sorted({name for _, name, _, _ in graph}), "targets")
    assert client.download("missing") == 1
    assert [role for role, _ in repo.asked[4:]] == order


@pytest.mark.parametrize(
    ("path", "found", "order"),
    [
        ("file", True, []),
        ("README.md", True, ["A"]),
        ("releases/x/1", True, ["B", "C"]),
        ("releases/y/1.zip", True, ["B", "D"]),
        ("releases/z/1.zip", False, ["B"]),
    ],
)
def test_targetfile_search(
    client: Client, repo: Simulator, path: str, *, found: bool, order: list[str]
) -> None:
    repo.delegate("targets", "A", paths=["*.md"])
    repo.delegate("targets", "B", paths=["releases/*/*"])
    repo.delegate("B", "C", paths=["releases/x/*"])
    repo.delegate("B", "D", paths=["releases/y/*.zip"])
    for role, place in (
        *(("targets", "file"), ("A", "README.md"), ("C", "releases/x/1")),
        *(("D", "releases/y/1.zip"), ("D", "releases/z/1.zip")),
    ):
        repo.add(role, place, place.encode())
    repo.publish_all("A", "B", "C", "D", "targets")
    assert client.download(path) == (0 if found else 1)
    assert client.payloads() == ([path.encode()] if found else [])
    assert [role for role, _ in repo.asked[4:]] == order


@pytest.mark.parametrize("role", ["?", "#", "/delegated", "../delegated"])
def test_unusual_role_name(client: Client, repo: Simulator, role: str) -> None:
    repo.delegate("targets", role, paths=["*"])
    repo.publish_all(role, "targets")
    assert client.download("missing") == 1
    assert len(client.trusted()) == 5
    assert not list(client.metadata.parent.glob("delegated*"))


# Payloads


@pytest.mark.parametrize("path", ["file.txt", "path/to/a/file.txt"])
def test_client_downloads_expected_file(client: Client, repo: Simulator, path: str) -> None:
    repo.add("targets", path, b"content")
    repo.publish_all("targets")
    assert client.refresh() == 0
    assert client.payloads() == []
    assert client.download(path) == 0
    assert client.payloads() == [b"content"]


def test_artifact_cache(client: Client, repo: Simulator) -> None:
    repo.add("targets", "file", b"content")
    repo.publish_all("targets")
    assert [client.download("file"), client.download("file")] == [0, 0]
    assert repo.payloads_asked == ["file"]


@pytest.mark.parametrize("evil", [b"contenT", b"longer than what was promised", b"short"])
def test_repository_substitutes_target_file(client: Client, repo: Simulator, evil: bytes) -> None:
    repo.add("targets", "one", b"content")
    repo.add("targets", "two", b"content")
    repo.publish_all("targets")
    assert client.download("one") == 0
    repo.payloads = {"one": evil, "two": evil}
    client.download("one")
    assert client.download("two") == 1
    assert client.payloads() == [b"content"]


def test_multiple_changes_to_target(client: Client, repo: Simulator) -> None:
    for number in range(6):
        raw = f"content {number}".encode()
        repo.add("targets", "file", raw)
        repo.publish_all("targets")
        if number % 2 == 0:
            assert client.download("file") == 0
            assert client.payloads() == [raw]
            repo.payloads["file"] = b"content ?"
            client.download("file")
            assert client.payloads() == [raw]


@pytest.mark.process
def test_the_commands_are_a_program(tmp_path: Path, repo: Simulator, mirror: Mirror) -> None:
    (tmp_path / "metadata").mkdir()
    root = tmp_path / "root.json"
    root.write_bytes(repo.published["root"][0])
    program = [sys.executable, "-m", "tests.support.tuf_conformance"]
    program += ["--metadata-dir", str(tmp_path / "metadata")]
    refresh = ["--metadata-url", f"{mirror.url}/metadata/", "refresh"]
    assert subprocess.run([*program, "init", str(root)], timeout=60, check=False).returncode == 0
    assert subprocess.run([*program, *refresh], timeout=60, check=False).returncode == 0
    repo.signed("timestamp").expires = PAST
    repo.publish("timestamp")
    ended = subprocess.run([*program, *refresh], timeout=60, check=False, capture_output=True)
    assert ended.returncode == 1
    assert b"out of date" in ended.stderr
