"""Which backend runs a model: the same section in the box's configuration and in the cloud's."""

from __future__ import annotations

from pydantic import Field, field_validator

from shared.runtime.base import RUNTIMES, RuntimeOptions
from shared.settings import Settings

AUTO = "auto"


class RuntimeSettings(Settings):
    """Which backend runs the model."""

    name: str = Field(default=AUTO, description="auto, or a runtime that `splitsight doctor` lists")
    device: str = Field(default="CPU", description="as the backend names it: CPU, NPU, GPU, cuda")
    threads: int = Field(default=1, ge=0, le=256, description="0 lets the backend choose")

    @field_validator("name")
    @classmethod
    def _is_installed(cls, name: str) -> str:
        known = [AUTO, *RUNTIMES.names()]
        if name not in known:
            raise ValueError(f"is not one of {', '.join(known)}")
        return name

    @property
    def options(self) -> RuntimeOptions:
        return RuntimeOptions(self.device, self.threads)
