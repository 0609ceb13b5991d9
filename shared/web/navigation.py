"""The one navigation of all pages: which stand in it, in which group, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from shared.web.access import Caller, Role

GROUPS = ("Now", "Parts", "Quality", "Fleet", "House", "More")
"""In the order of the navigation; a group with another name stands before the last."""


class Listed(Protocol):
    """What the navigation needs of a page."""

    @property
    def title(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def role(self) -> Role | None: ...
    @property
    def group(self) -> str: ...
    @property
    def order(self) -> int: ...
    @property
    def listed(self) -> bool: ...


P = TypeVar("P", bound=Listed)


def navigation(pages: Iterable[P], caller: Caller | None = None) -> list[tuple[str, Sequence[P]]]:
    """Groups with their pages.

    caller   whose navigation it is: pages that they may not look at are left out; None: all are in
    """
    groups: dict[str, list[P]] = {}
    for page in pages:
        may_look = caller is None or page.role is None or caller.may(page.role, "read")
        if page.listed and may_look:
            groups.setdefault(page.group, []).append(page)
    return [
        (name, sorted(groups[name], key=lambda page: page.order))
        for name in sorted(groups, key=_place)
    ]


def _place(group: str) -> float:
    return GROUPS.index(group) if group in GROUPS else len(GROUPS) - 1.5
