"""Models as pages: what is served and released, where it comes from, what it promises."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from fleet.releases.catalogue import Catalogue, Entry
from fleet.releases.drafts import Drafts
from fleet.releases.tails import Running, TailState
from fleet.rounds.candidates.candidate_pages import CandidatePages
from fleet.rounds.candidates.candidate_store import CandidateStore
from fleet.rounds.report.findings import CandidateRecord, RunFindings
from fleet.rounds.report.round_pages import TEMPLATES
from shared.bundles import leakage, robustness
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import Manifest
from shared.certification import promises
from shared.errors import BundleError, FederationError, SplitsightError
from shared.plugins.pages import Page, PageContext

HOME = "/models"
BundleId = Annotated[str, Path(max_length=128)]
States = Callable[[], Sequence[TailState]]


def models_page(
    catalogue: Catalogue,
    drafts: Drafts,
    candidates: CandidateStore,
    tails: States,
    running: Running,
) -> Page[PageContext]:
    """tails: every tail that is served or should be; running: the bundle of each device"""

    def routes_with(context: PageContext) -> APIRouter:
        routes = APIRouter()
        pages = ModelPages(catalogue, candidates, tails, running, context)
        CandidatePages(candidates, drafts, context, pages.missing).add_to(routes)
        pages.add_to(routes)
        return routes

    return Page("Models", HOME, TEMPLATES, routes_with, changes=None, group="Fleet", order=10)


class ModelPages:
    """All of them, and a page each."""

    def __init__(
        self,
        catalogue: Catalogue,
        candidates: CandidateStore,
        tails: States,
        running: Running,
        context: PageContext,
    ) -> None:
        self._catalogue = catalogue
        self._candidates = candidates
        self._tails = tails
        self._running = running
        self._render = context.render

    def add_to(self, routes: APIRouter) -> None:
        routes.get("")(self.all)
        routes.get("/bundle/{bundle}")(self.one)

    def all(self) -> Response:
        return self._all()

    def missing(self, error: SplitsightError) -> Response:
        return self._all(error)

    def one(self, bundle: BundleId) -> Response:
        path = next((m.path for m in self._models() if m.bundle == bundle), None)
        if path is None:
            told = FederationError(f"no bundle {bundle[:80]!r} lies here", fix="see the list")
            return self._all(told)
        manifest = _manifest(path)
        entry = next((one for one in self._entries() if one.facts.bundle == bundle), None)
        return self._render(
            "model.html",
            manifest=manifest,
            entry=entry,
            bundle=bundle,
            certificate=promises.describe(manifest.certificate),
            leakage=leakage.describe(manifest.leakage),
            robustness=_robustness(path),
            devices=self._devices().get(bundle, []),
            tail=next((one for one in self._tails() if one.pair == manifest.pair), None),
            f=self._report(bundle),
        )

    def _all(self, error: SplitsightError | None = None) -> Response:
        entries, devices = self._entries(), self._devices()
        released = {entry.facts.bundle for entry in entries}
        records, broken = self._records()
        served = [one for one in self._tails() if one.bundle not in released]
        return self._render(
            "models.html",
            404 if error else 200,
            error=error,
            entries=entries,
            devices=devices,
            served=served,
            candidates=records,
            broken=broken,
        )

    def _models(self) -> list[Any]:
        return self._catalogue.models()

    def _entries(self) -> list[Entry]:
        try:
            return [one for one in self._catalogue.entries() if one.facts.kind == "model"]
        except SplitsightError:
            # No releases yet: what is served can be looked at all the same.
            return []

    def _devices(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for device, bundle in sorted(self._running().items()):
            found[bundle].append(device)
        return dict(found)

    def _records(self) -> tuple[list[CandidateRecord], list[str]]:
        records, broken = [], []
        for name in self._candidates.names():
            try:
                records.append(self._candidates.get(name))
            except FederationError as error:
                broken.append(error.message)
        return sorted(records, key=lambda one: one.created, reverse=True), broken

    def _report(self, bundle: str) -> RunFindings | None:
        """Of the candidate that it was; None where it was none, or its report is gone."""
        for name in self._candidates.names():
            try:
                # Not by pair: another gate makes another bundle of the same one.
                if self._candidates.bundle(name).id == bundle:
                    return self._candidates.findings(name)
            except SplitsightError:
                continue
        return None


@lru_cache(maxsize=256)
def _manifest(path: File) -> Manifest:
    """The file's name holds its sha256, so that it never says something else."""
    return Bundle.open(path).manifest


@lru_cache(maxsize=256)
def _robustness(path: File) -> str:
    """In words; what a damaged file says of itself is the model's, not the page's, trouble."""
    try:
        return robustness.describe(Bundle.open(path).robustness)
    except BundleError as error:
        return error.message
