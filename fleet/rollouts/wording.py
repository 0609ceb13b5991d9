"""Rollouts and devices in words, for the page."""

from __future__ import annotations

from fleet.rollouts.shadow import DeviceHealth
from shared.format import NONE

STATE_WORDS = {
    "running": "running",
    "gated": "waits for approval",
    "paused": "paused",
    "returning": "going back",
    "stopped": "stopped, all back",
    "done": "done",
}
STATE_SIGN = {
    "running": "▶",
    "gated": "?",
    "paused": "❚❚",
    "returning": "↩",
    "stopped": "■",
    "done": "✓",
}
PHASE_WORDS = {
    "waiting": "waits for its ring",
    "aside": "set aside",
    "asked": "asked",
    "committed": "keeps the release",
    "failed": "failed",
    "returning": "going back",
    "returned": "back on what it ran",
}
PHASES_OF_BAR = ("committed", "asked", "failed", "back", "waiting")


def name_of(path: str) -> str:
    """`models/elpv/2.zip` → `elpv 2`."""
    parts = path.rsplit("/", 2)
    if not path or len(parts) < 2:
        return path or "as it was flashed"
    version = parts[-1]
    for suffix in (".zip", ".tar.zst", ".sqfs"):
        version = version.removesuffix(suffix)
    return f"{parts[-2]} {version}"


def skew(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    if abs(seconds) < 2:
        return "right"
    return f"{abs(seconds):,.0f} s {'behind' if seconds > 0 else 'ahead'}"


def degrees(celsius: float | None) -> str:
    return NONE if celsius is None else f"{celsius:.0f} °C"


def runs(health: DeviceHealth) -> str:
    """What is live on a device, kind by kind."""
    return ", ".join(name_of(path) for path in health.running.values() if path) or "as flashed"


def doing(health: DeviceHealth) -> str:
    """What a device is busy with; empty where it is not."""
    if health.phase in {"", "idle"}:
        return ""
    return f"{health.phase} {name_of(health.target)}" if health.target else health.phase


def order_of(do: str, state: str, ring: str) -> str:
    """What a rollout is told, as a button says it."""
    if do == "approve":
        return f"Approve ring {ring}"
    if do == "abort":
        return "Take it back" if state == "done" else "Abort"
    return do.capitalize()


def deed_of(do: str, state: str, boxes: int) -> str:
    """The button that does it, with what it does to how many."""
    if do != "abort":
        return {"approve": "Let it begin", "resume": "Go on", "pause": "Pause"}[do]
    told = f"{boxes:,} {'box' if boxes == 1 else 'boxes'} back"
    if not boxes:
        return "End the rollout"
    return f"Take it back: {told}" if state == "done" else f"Abort: {told}"
