"""Pictures that stay in the plant: asked of their box, shown, and kept nowhere on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from shared.contracts import InspectionKey, PictureKind, PicturePolicy, stricter
from shared.errors import PictureError
from shared.topics import Address


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """What a box has answered, checked.

    content   a whole JPEG or PNG
    sha256    of it, hexadecimal
    frame     width and height of the picture that the box has kept; 0: of this one
    window    left, top, width and height of a region in it; empty where it is all of it
    bundle    whose head made the map, or chose the region
    """

    key: InspectionKey
    what: PictureKind
    content: bytes
    media: str
    sha256: str
    frame: tuple[int, int] = (0, 0)
    window: tuple[int, ...] = ()
    bundle: str = ""


class Pictures(Protocol):
    """Where pictures come from."""

    async def fetch(
        self, address: Address, key: InspectionKey, what: PictureKind, digest: str = ""
    ) -> ShownPicture:
        """digest: what the inspection says of the picture; see `shared.inspection`

        Raises PictureError of one of the kinds below.
        """


class BoxSilent(PictureError):
    """The box is away, or does not answer."""

    status: ClassVar[int] = 504


class BadAnswer(PictureError):
    """What the box answered is not what was asked for."""

    status: ClassVar[int] = 502


class PictureGone(PictureError):
    """The box has it no more, or never kept it."""

    status: ClassVar[int] = 410


class PictureKept(PictureError):
    """A policy keeps it in the plant; policy: how much it lets out."""

    status: ClassVar[int] = 403

    def __init__(self, message: str, *, fix: str, policy: PicturePolicy) -> None:
        super().__init__(message, fix=fix)
        self.policy: PicturePolicy = policy


class BoxBusy(PictureError):
    """More pictures of this box are asked for than it gives at once."""

    status: ClassVar[int] = 429


class NoPictures:
    """Nothing asks boxes here: where routes are only described."""

    async def fetch(
        self,
        address: Address,
        key: InspectionKey,  # noqa: ARG002 - Pictures
        what: PictureKind,  # noqa: ARG002
        digest: str = "",  # noqa: ARG002
    ) -> ShownPicture:
        raise BoxSilent(f"nothing asks {address.device} from here", fix="run the cloud's service")


class ScriptedPictures:
    """Answers with what it is given, for tests; `asked` keeps what was asked for.

    answers   by device, boot, sequence and kind: a picture, or what is raised
    """

    def __init__(
        self, answers: Mapping[tuple[InspectionKey, PictureKind], ShownPicture | PictureError]
    ) -> None:
        self.answers = dict(answers)
        self.asked: list[tuple[InspectionKey, PictureKind]] = []

    async def fetch(
        self,
        address: Address,
        key: InspectionKey,
        what: PictureKind,
        digest: str = "",  # noqa: ARG002 - Pictures
    ) -> ShownPicture:
        self.asked.append((key, what))
        found = self.answers.get((key, what)) or BoxSilent(f"{address.device} is away", fix="")
        if isinstance(found, PictureError):
            raise found
        return found


@dataclass(frozen=True, slots=True)
class PictureRules:
    """What people may see here, and how; the box has a rule of its own.

    policy    for sites that `sites` does not name
    reasons   whether who looks has to say why
    at_once   whether the page of a part shows its picture without being asked
    """

    policy: PicturePolicy = "full"
    sites: Mapping[str, PicturePolicy] | None = None
    reasons: bool = False
    at_once: bool = False

    def policy_of(self, site: str) -> PicturePolicy:
        return (self.sites or {}).get(site, self.policy)

    def most_of(self, site: str, box: PicturePolicy = "full") -> PictureKind | None:
        """The most that is shown of a picture; None: nothing."""
        allowed = stricter(self.policy_of(site), box)
        return None if allowed == "never" else allowed
