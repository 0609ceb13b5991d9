"""A device's trust over the fleet's own HTTPS gateway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from edge.updates.transfer.fetch import GatewayEndpoint, open_pool
from edge.updates.trust.releases import ReleasesUnreachable
from edge.updates.trust.tuf_client import Trust
from fleet.identity.authority import Authority
from fleet.releases.creation import found_repository
from fleet.releases.drafts import Drafts
from fleet.releases.keys import load_key
from fleet.releases.publisher import Publisher
from fleet.releases.release_builder import Adding
from fleet.releases.store import ReleaseStore
from shared.clock import SystemClock
from tests.bundles import make_bundle
from tests.fleet.identity.rigs import open_gateway, open_office
from tests.fleet.releases.rigs import EVERYWHERE

MODEL = "models/tiny/1.0.0.zip"


@dataclass
class Site:
    url: str
    ca: Path
    root: bytes
    folder: Path

    def trust(self, ca: Path) -> Trust:
        gateway = GatewayEndpoint(f"{self.url}/releases", ca)
        return Trust(self.folder / "trust", gateway, self.root, SystemClock())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    clock = SystemClock()
    with open_office(tmp_path / "fleet", clock) as office:
        store = ReleaseStore(office.folder)
        found_repository(store, tmp_path / "stick", clock)
        drafts = Drafts(store, clock)
        Adding(drafts).add_model(make_bundle(tmp_path / "bundle"), EVERYWHERE)
        drafts.sign([load_key(tmp_path / "stick" / "models.pem")])
        Publisher(store, clock).publish()
        root = (store.metadata / "1.root.json").read_bytes()
        with open_gateway(office) as url:
            yield Site(url, office.ca, root, tmp_path)


def test_releases_come_through_the_fleets_own_gateway_by_ranges(site: Site) -> None:
    trust = site.trust(site.ca)
    found = trust.find(MODEL)
    with open_pool(GatewayEndpoint(site.url, site.ca)) as pool:
        part = pool.request("GET", trust.url(found), headers={"Range": "bytes=4-9"})
    assert (part.status, len(part.data)) == (206, 6)


def test_a_gateway_of_another_authority_is_not_believed(site: Site, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", ["127.0.0.1"], SystemClock())
    with pytest.raises(ReleasesUnreachable, match=r"(?i)certificate"):
        site.trust(other.files.certificate).refresh()


def test_a_pool_asks_for_certificates_unless_told_otherwise(site: Site) -> None:
    with (
        open_pool(GatewayEndpoint(site.url)) as pool,
        pytest.raises(urllib3.exceptions.MaxRetryError, match=r"(?i)certificate"),
    ):
        pool.request("GET", f"{site.url}/releases/metadata/1.root.json")
