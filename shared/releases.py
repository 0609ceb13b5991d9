"""What a signed release says of its payload: the `custom` part of a TUF target.

Target paths: `models/NAME/VERSION.zip`, `firmware/app/NAME/VERSION.tar.zst`,
`firmware/image/NAME/VERSION.sqfs`; deltas lie beside them (`VERSION.from-SHA12.zst`).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, ValidationError

from shared.errors import ReleaseError
from shared.settings import Settings

ReleaseKind = Literal["model", "app", "image"]
RELEASE_KINDS: tuple[ReleaseKind, ...] = get_args(ReleaseKind)
ANY_HARDWARE = "any"
SUFFIX: dict[ReleaseKind, str] = {"model": "zip", "app": "tar.zst", "image": "sqfs"}


class ReleaseFacts(Settings):
    """What a device must know before it takes a payload.

    counter   counts up with each release of one kind and name; a device never goes below its own
              except to return from a trial
    hardware  which devices it fits: `any`, or machine names as `hardware_here` gives them
    pair      of a model: the id of head and tail; the cloud must serve that tail
    bundle    of a model: the bundle's id
    deltas    target path of a zstd patch, by the sha256 of the payload that it starts from
    licence   under which the data behind a model may be used; for people
    data_hash, parent, round   where a model comes from: its data, the bundle that it was made from
              and the federated round, where there was one
    approved_by   who let it out; for people
    why       why it was let out though it lacks a certificate or a measurement; for people

    How long a reason may be is asked where it is given, not where it is read: no device refuses a
    model for it. Fields that a later version adds are ignored, so that an old device can still be
    updated.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, validate_default=True)

    kind: ReleaseKind
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    version: str = Field(pattern=r"^[0-9]+(\.[0-9]+){0,2}$")
    counter: int = Field(ge=1)
    hardware: tuple[str, ...] = (ANY_HARDWARE,)
    pair: str = ""
    bundle: str = ""
    deltas: dict[str, str] = Field(default_factory=dict)
    licence: str = Field(default="", max_length=200)
    data_hash: str = Field(default="", max_length=128)
    parent: str = Field(default="", max_length=64)
    round: int | None = Field(default=None, ge=0)
    approved_by: str = Field(default="", max_length=100)
    why: str = ""

    @property
    def path(self) -> str:
        """The target that these facts belong to."""
        folder = "models" if self.kind == "model" else f"firmware/{self.kind}"
        return f"{folder}/{self.name}/{self.version}.{SUFFIX[self.kind]}"

    def delta_path(self, base: str) -> str:
        """The target of the patch that starts from the payload with sha256 `base`."""
        return f"{self.path.rpartition('/')[0]}/{self.version}.from-{base[:12]}.zst"

    def require(self, hardware: str, counter: int) -> None:
        """Raises ReleaseError where a device must not take it.

        counter   of the release that the device runs now; 0 where it runs none
        """
        if not self.fits(hardware):
            raise ReleaseError(
                f"{self.path} is for {', '.join(self.hardware)}; this device is {hardware}",
                fix="build and add a release for this hardware",
            )
        if self.counter < counter:
            raise ReleaseError(
                f"{self.path} has counter {self.counter}, older than {counter}, which runs here",
                fix="release the old content again under a new version",
            )

    def fits(self, hardware: str) -> bool:
        return ANY_HARDWARE in self.hardware or hardware in self.hardware

    @classmethod
    def of(cls, path: str, custom: Mapping[str, Any] | None) -> ReleaseFacts:
        """Raises ReleaseError for a target that is no release of ours."""
        try:
            facts = cls.model_validate(custom or {})
        except ValidationError as error:
            first = error.errors()[0]
            raise ReleaseError(
                f"{path} does not say what it is: {'.'.join(map(str, first['loc']))} "
                f"{first['msg'].lower()}",
                fix="add it again with `splitsight fleet release add`",
            ) from error
        if facts.path != path:
            # Else a key that may sign models could pass one off as firmware.
            raise ReleaseError(
                f"{path} says that it is {facts.path}",
                fix="add it again with `splitsight fleet release add`",
            )
        return facts


def hardware_here() -> str:
    """This machine's name among those a release can fit: x86-64, arm64, or as the kernel says."""
    machine = platform.machine()
    return {"x86_64": "x86-64", "aarch64": "arm64"}.get(machine, machine)
