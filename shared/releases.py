"""What a signed release says of its payload: the `custom` part of a TUF target.

Target paths: `models/NAME/VERSION.zip`, `firmware/app/NAME/VERSION.tar.zst`,
`firmware/image/NAME/VERSION.sqfs`; deltas lie beside them (`VERSION.from-SHA12.zst`).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from shared.errors import ReleaseError
from shared.settings import Settings

ReleaseKind = Literal["model", "app", "image"]
RELEASE_KINDS: tuple[ReleaseKind, ...] = get_args(ReleaseKind)
ANY_HARDWARE = "any"


class ReleaseFacts(Settings):
    """What a device must know before it takes a payload.

    counter   counts up with each release of one kind and name; a device never goes below its own
              except to return from a trial
    hardware  which devices it fits: `any`, or machine names as `hardware_here` gives them
    pair      of a model: the id of head and tail; the cloud must serve that tail
    bundle    of a model: the bundle's id
    deltas    target path of a zstd patch, by the sha256 of the payload that it starts from
    """

    kind: ReleaseKind
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    version: str = Field(pattern=r"^[0-9]+(\.[0-9]+){0,2}$")
    counter: int = Field(ge=1)
    hardware: tuple[str, ...] = (ANY_HARDWARE,)
    pair: str = ""
    bundle: str = ""
    deltas: dict[str, str] = Field(default_factory=dict)

    def fits(self, hardware: str) -> bool:
        return ANY_HARDWARE in self.hardware or hardware in self.hardware

    @classmethod
    def of(cls, path: str, custom: Mapping[str, Any] | None) -> ReleaseFacts:
        """Raises ReleaseError for a target that is no release of ours."""
        try:
            return cls.model_validate(custom or {})
        except ValidationError as error:
            first = error.errors()[0]
            raise ReleaseError(
                f"{path} does not say what it is: {'.'.join(map(str, first['loc']))} "
                f"{first['msg'].lower()}",
                fix="add it again with `splitsight fleet release add`",
            ) from error


def hardware_here() -> str:
    """This machine's name among those a release can fit: x86-64, arm64, or as the kernel says."""
    machine = platform.machine()
    return {"x86_64": "x86-64", "aarch64": "arm64"}.get(machine, machine)
