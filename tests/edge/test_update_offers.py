"""What a device may take, by what was signed; and how it is fetched."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from edge.updates.base import Patch, Unreachable
from edge.updates.transfer.download import HttpSource
from edge.updates.transfer.fetch import GatewayEndpoint, open_pool
from edge.updates.trust.offers import TrustedOffers
from edge.updates.trust.releases import KnownReleases, Payload, ReleasesUnreachable, SignedRelease
from shared.errors import ReleaseError, UpdateError
from shared.releases import ReleaseFacts
from tests.edge.update_rigs import content
from tests.fleet.releases.mirror import Mirror

PATH = "models/m/2.zip"
BASE = "b" * 64


def facts(**changed: object) -> ReleaseFacts:
    known = {"kind": "model", "name": "m", "version": "2", "counter": 2, "pair": "p", "bundle": "x"}
    return ReleaseFacts.model_validate({**known, **changed})


def known(**changed: object) -> KnownReleases:
    found = SignedRelease(PATH, 100, "a" * 64, facts(**changed))
    return KnownReleases("http://gateway", {PATH: found}, {"delta": Payload("delta", 9, "d" * 64)})


def test_an_offer_says_what_was_signed() -> None:
    offer = TrustedOffers(known(deltas={BASE: "delta"}), "model", "arm64").offer(PATH, BASE)
    label = offer.label
    assert (label.path, label.length, label.sha256, label.counter) == (PATH, 100, "a" * 64, 2)
    assert (label.name, label.pair, label.bundle) == ("m", "p", "x")
    assert offer.url == f"http://gateway/targets/models/m/{'a' * 64}.2.zip"
    assert offer.patch == Patch(f"http://gateway/targets//{'d' * 64}.delta", 9, "d" * 64)


def test_without_the_base_there_is_no_patch() -> None:
    offers = TrustedOffers(known(deltas={BASE: "delta"}), "model", "arm64")
    assert offers.offer(PATH, "").patch is None
    assert offers.offer(PATH, "c" * 64).patch is None


def test_a_release_for_other_hardware_is_refused() -> None:
    with pytest.raises(UpdateError, match="fits x86-64; this device is arm64"):
        TrustedOffers(known(hardware=("x86-64",)), "model", "arm64").offer(PATH, "")


def test_a_release_of_another_kind_is_refused() -> None:
    with pytest.raises(UpdateError, match="of kind model, not app"):
        TrustedOffers(known(), "app", "arm64").offer(PATH, "")


def test_a_gateway_that_is_away_is_told_from_one_that_is_not_believed() -> None:
    trust = known()
    offers = TrustedOffers(trust, "model", "arm64")
    trust.failure = ReleasesUnreachable("nobody answers", fix="wait")
    with pytest.raises(Unreachable):
        offers.offer(PATH, "")
    trust.failure = ReleaseError("too few keys", fix="check the gateway")
    with pytest.raises(ReleaseError, match="too few keys"):
        offers.offer(PATH, "")
    trust.failure = None
    with pytest.raises(ReleaseError, match="not among the releases"):
        offers.offer("models/m/3.zip", "")


BODY = content(4, 5000)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror(lambda path: BODY if path == "file" else None)
    mirror.start()
    yield mirror
    mirror.close()


@pytest.fixture
def source(mirror: Mirror) -> HttpSource:
    return HttpSource(open_pool(GatewayEndpoint(mirror.url)))


def test_ranges_put_together_are_the_whole(mirror: Mirror, source: HttpSource) -> None:
    pieces = [source.read(f"{mirror.url}/file", start, 999) for start in range(0, 5000, 999)]
    assert b"".join(pieces) == BODY


def test_a_host_without_ranges_serves_the_beginning_and_is_refused_after_it(
    mirror: Mirror, source: HttpSource
) -> None:
    mirror.answer = lambda _path: iter([BODY])
    assert source.read(f"{mirror.url}/file", 0, 2000) == BODY[:2000]
    with pytest.raises(UpdateError, match="another range"):
        source.read(f"{mirror.url}/file", 2000, 2000)


def test_what_is_not_there_is_an_answer_and_a_host_that_is_away_is_none(
    mirror: Mirror, source: HttpSource
) -> None:
    with pytest.raises(UpdateError, match="is not there") as refused:
        source.read(f"{mirror.url}/other", 0, 10)
    assert not isinstance(refused.value, Unreachable)
    mirror.close()
    with pytest.raises(Unreachable):
        source.read(f"{mirror.url}/file", 0, 10)


def test_a_host_that_drips_is_left_after_a_while_and_what_came_is_kept(mirror: Mirror) -> None:
    ticks, looks = itertools.count(step=25), threading.Semaphore(1)

    def drip(_path: str) -> Iterator[bytes]:
        # No more than the client has looked for: on a busy machine all would be there at once.
        for at in range(len(BODY)):
            looks.acquire(timeout=20)
            yield BODY[at : at + 1]

    def look() -> float:
        looks.release()
        return float(next(ticks))

    mirror.answer = drip
    source = HttpSource(open_pool(GatewayEndpoint(mirror.url)), monotonic=look)
    came = source.read(f"{mirror.url}/file", 0, 4000)
    looks.release(len(BODY))
    assert 0 < len(came) < 4000
    assert came == BODY[: len(came)]


def test_what_was_read_before_a_break_is_kept(mirror: Mirror, source: HttpSource) -> None:
    def breaking(_path: str) -> Iterator[bytes]:
        yield BODY[:1500]

    mirror.answer = breaking
    assert source.read(f"{mirror.url}/file", 0, 4000) == BODY[:1500]
