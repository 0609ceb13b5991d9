"""Keys of secure sums: a coordinator that puts others in their place is found."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from edge.identity.folder import IdentityFolder
from edge.identity.key_proofs import CertifiedKeys
from edge.learner.secure_aggregation import SecureSession, advertise, deal
from fleet.identity.requests import read_request
from fleet.rounds.aggregation.secure_mean import SecureRound
from shared.clock import ManualClock
from shared.errors import FederationError
from shared.federation.protocol import node_of
from shared.federation.secure_aggregation import Advert, Invitation, KeyProof, Roster, read, written
from shared.topics import Address
from tests.fleet.identity.rigs import Office, open_office

NAMES = ("box-1", "box-2", "box-3")
NODES = tuple(map(node_of, NAMES))
INVITATION = Invitation(secrets.token_bytes(32), 3, 8, 1.0, 0.5, 0.0)
LIMITS = INVITATION.limits(np.zeros(4, np.float32))
Adverts = dict[int, Advert]


class Devices:
    """Three enrolled devices which have trained, and what each has advertised."""

    def __init__(self, folder: Path, office: Office) -> None:
        self.folder, self.office = folder, office
        self.proofs = {node_of(name): self.enrol(name) for name in NAMES}
        self.sessions: dict[int, SecureSession] = {}
        self.adverts: Adverts = {}
        for node, proofs in self.proofs.items():
            self.sessions[node], bare = advertise(
                INVITATION, node, np.zeros(4, np.float32), LIMITS, 1
            )
            self.adverts[node] = proofs.signed(INVITATION.session, node, bare)

    def enrol(self, name: str, office: Office | None = None) -> CertifiedKeys:
        office = office or self.office
        files = IdentityFolder(self.folder / name)
        token = office.registrar.claim(Address("plant", "line", name), 1.0).token
        files.adopt(office.registrar.enrol(token, read_request(files.request(name))))
        return CertifiedKeys(self.folder / name, self.office.ca, self.office.clock)

    def deal(self, adverts: Adverts, node: int = NODES[0]) -> None:
        others = {one: adverts[one] for one in NODES if one != node}
        deal(self.sessions[node], Roster(list(NODES), others), proofs=self.proofs[node])


@pytest.fixture
def devices(tmp_path: Path, office: Office) -> Devices:
    return Devices(tmp_path / "devices", office)


def public() -> bytes:
    return X25519PrivateKey.generate().public_key().public_bytes_raw()


def test_keys_that_are_each_device_s_own_are_taken(devices: Devices) -> None:
    for node in NODES:
        devices.deal(devices.adverts, node)


Swap = Callable[[Devices, Advert], Advert | None]
SWAPS: dict[str, tuple[Swap, str]] = {
    "other keys": (
        lambda _d, a: msgspec.structs.replace(a, mask_key=public(), seal_key=public()),
        "are not its own",
    ),
    "one other key": (
        lambda _d, a: msgspec.structs.replace(a, seal_key=public()), "are not its own",
    ),
    "another check": (
        lambda _d, a: msgspec.structs.replace(a, seed_check=bytes(32)), "are not its own",
    ),
    "no proof": (
        lambda _d, a: msgspec.structs.replace(a, proof=None), "nobody has signed the keys of",
    ),
    "signed for another session": (
        lambda d, a: d.proofs[NODES[1]].signed(bytes(32), NODES[1], a), "are not its own",
    ),
    "signed by another device": (
        lambda d, a: d.proofs[NODES[2]].signed(INVITATION.session, NODES[1], a),
        "they are those of 'box-3'",
    ),
    "no certificate": (
        lambda _d, a: msgspec.structs.replace(a, proof=KeyProof(b"", b"")), "can't be read",
    ),
    "a large certificate": (
        lambda _d, a: msgspec.structs.replace(a, proof=KeyProof(bytes(9999), b"")), "can't be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", SWAPS)
def test_a_coordinator_that_swaps_keys_is_found(devices: Devices, how: str) -> None:
    swap, said = SWAPS[how]
    swapped = swap(devices, devices.adverts[NODES[1]])
    assert swapped is not None
    with pytest.raises(FederationError, match=said):
        devices.deal({**devices.adverts, NODES[1]: swapped})


def test_another_fleet_s_certificate_proves_nothing(
    devices: Devices, tmp_path: Path, clock: ManualClock
) -> None:
    with open_office(tmp_path / "other", clock) as other:
        stranger = Devices(tmp_path / "strangers", other)
    with pytest.raises(FederationError, match="authority or its own key did not sign"):
        devices.deal({**devices.adverts, NODES[1]: stranger.adverts[NODES[1]]})


def test_a_revoked_device_s_keys_are_not_taken(devices: Devices) -> None:
    office = devices.office
    office.registrar.revoke("box-2", "stolen")
    IdentityFolder(devices.folder / "box-1").keep_revoked(
        office.authority.files.revoked.read_bytes()
    )
    with pytest.raises(FederationError, match="the certificate of box-2 was revoked"):
        devices.deal(devices.adverts)


def test_a_list_that_somebody_else_signed_says_nothing(
    devices: Devices, tmp_path: Path, clock: ManualClock
) -> None:
    with open_office(tmp_path / "other", clock) as other:
        forged = other.authority.files.revoked.read_bytes()
    files = IdentityFolder(devices.folder / "box-1")
    for listed in (forged, b"nonsense"):
        files.keep_revoked(listed)
        assert files.revoked(devices.office.authority.certificate) is None
    devices.deal(devices.adverts)


def test_an_expired_certificate_proves_nothing(devices: Devices, clock: ManualClock) -> None:
    clock.advance(91 * 86400)
    with pytest.raises(FederationError, match=r"certificate of box-[23] has expired"):
        devices.deal(devices.adverts)


def test_a_device_without_a_certificate_signs_nothing(devices: Devices, tmp_path: Path) -> None:
    bare = CertifiedKeys(tmp_path / "nobody", devices.office.ca, devices.office.clock)
    with pytest.raises(FederationError, match="no certificate to sign its keys with"):
        bare.signed(INVITATION.session, NODES[0], devices.adverts[NODES[0]])


def test_an_old_peer_among_devices_that_sign_is_set_aside_by_name(devices: Devices) -> None:
    old = msgspec.structs.replace(devices.adverts[NODES[2]], proof=None)
    named = dict(zip(NODES, NAMES, strict=True)).__getitem__
    gathering = SecureRound(INVITATION, LIMITS, named)
    with pytest.raises(FederationError, match="box-3: nobody has signed its keys"):
        gathering.roster({**devices.adverts, NODES[2]: old})
    unsigned = {n: msgspec.structs.replace(a, proof=None) for n, a in devices.adverts.items()}
    assert len(SecureRound(INVITATION, LIMITS).roster(unsigned)) == 3


class OldAdvert(msgspec.Struct, frozen=True):
    """As the last release has it."""

    mask_key: bytes
    seal_key: bytes
    seed_check: bytes


def test_an_advert_is_read_by_and_from_the_last_release(devices: Devices) -> None:
    advert = devices.adverts[NODES[0]]
    assert read(written(advert), OldAdvert).mask_key == advert.mask_key
    old = OldAdvert(advert.mask_key, advert.seal_key, advert.seed_check)
    assert read(written(old), Advert).proof is None


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_prove_nothing(
    tmp_path_factory: pytest.TempPathFactory, certificate: bytes, signature: bytes
) -> None:
    checking = CertifiedKeys(tmp_path_factory.getbasetemp(), Path("none"), ManualClock())
    advert = Advert(public(), public(), bytes(32), KeyProof(certificate, signature))
    with pytest.raises(FederationError):
        checking.check(bytes(32), 7, advert)
