"""From nothing to a device that was updated, cut off in the middle, and rolled back.

Not part of `make test`: `make test-image` takes many minutes. Steps and their times are kept in
runs/image/steps.log, the device's serial console in runs/image/console.log.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from edge.updates.drift import DriftLimits
from fleet.flash.machine import QemuMachine
from shared.bundles.bundle import Bundle, amend_bundle, write_bundle
from shared.bundles.manifest import GOLDEN, HEAD, HEAD_FLOAT
from shared.runtime.base import open_runtime
from tests.image.rigs import DEVICE, Plant, command

BOOT_S = 900.0
STEP_S = 900.0
# Parts that a trial and the model before must have seen before they are compared.
COMPARED = DriftLimits(budget_s=1.0).enough


def test_a_device_from_a_blank_card_to_a_rolled_back_update(plant: Plant) -> None:
    folder = plant.folder
    image, key = folder / "disk.img", folder / "image.key"
    public = key.with_suffix(".pub")
    command(
        *("fleet", "image", "build", "--out", image, "--bundle", plant.bundle, "--image-key", key),
        *("--format", "json"),
    )
    plant.note("image built")
    plant.start()
    site, claim = plant.site(), plant.claim()
    disk = folder / "card.img"
    command(
        *("fleet", "flash", "--image", image, "--disk", disk, "--config", site, "--claim", claim),
        *("--with", folder / "ca.pem", "--with", folder / "root.json", "--public-key", public),
    )
    plant.note("card flashed")
    console = folder / "console.log"

    with QemuMachine(disk, console) as machine:
        machine.wait_for("slot a", BOOT_S)
        plant.note("slot chosen")
        machine.wait_for("enrolled", BOOT_S)
        plant.note("enrolled")
        inspects(plant, machine)
        good = plant.release(amended(plant, "1.3.0"))
        plant.roll_out(good)
        plant.until(STEP_S, "the update is under way", lambda: is_busy(plant), machine)
        machine.cut_power()
        plant.note("power cut in the middle of the update")

    with QemuMachine(disk, console) as machine:
        machine.wait_for("agent_started", BOOT_S)
        plant.note("back after the power cut")
        inspects(plant, machine)
        plant.until(STEP_S, "runs the new model", lambda: runs(plant) == good, machine)
        bad = plant.release(blinded(plant, "1.4.0"))
        inspects(plant, machine, parts=COMPARED + 5)
        # Without a shadow run it gets as far as the trial, and has to come back from there: a part
        # comes by every five seconds, and COMPARED of them show that it is blind.
        plant.roll_out(bad, shadow_parts=0, health_s=300)
        plant.until(STEP_S, "the bad model is on trial", lambda: phase(plant) == "trial", machine)
        plant.until(
            STEP_S,
            "gave the bad model up",
            lambda: bad in plant.device().get("failed", {}),
            machine,
        )
        assert runs(plant) == good
        inspects(plant, machine)


def inspects(plant: Plant, machine: QemuMachine, parts: int = 1) -> None:
    """Online, and so many parts more than now."""
    plant.until(STEP_S, f"{DEVICE} is online", lambda: is_online(plant), machine)
    before = int(plant.presence().get("inspected") or 0)
    plant.until(
        STEP_S,
        "parts are inspected",
        lambda: int(plant.presence().get("inspected") or 0) >= before + parts,
        machine,
    )


def is_online(plant: Plant) -> bool:
    return plant.presence().get("state") == "online"


def is_busy(plant: Plant) -> bool:
    return phase(plant) not in {"", "idle"}


def phase(plant: Plant) -> str:
    return str(plant.device().get("phase") or "")


def given_up(plant: Plant) -> dict[str, str]:
    return dict(plant.device().get("failed") or {})


def runs(plant: Plant) -> str:
    return str(plant.device().get("running", {}).get("model", ""))


def amended(plant: Plant, version: str) -> Path:
    """The shipped bundle under another version."""
    path = plant.folder / f"bundle-{version}"
    return amend_bundle(Bundle.open(plant.bundle), {"version": version}, path).path


def blinded(plant: Plant, version: str) -> Path:
    """A head that finds every part the same, and says so in its golden outputs: parity holds."""
    bundle = Bundle.open(amended(plant, version))
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    head = constant_score(files[HEAD])
    runtime = open_runtime("onnx", head)
    scores = [runtime.run(one[np.newaxis])[2].reshape(-1)[0] for one in bundle.golden.inputs]
    known = np.array(scores, np.float32)
    golden = replace(bundle.golden, edge_scores=known, float_scores=known)
    changed = {HEAD: head, HEAD_FLOAT: head, GOLDEN: golden.to_bytes()}
    fields = bundle.manifest.model_dump(exclude={"files"})
    return write_bundle(plant.folder / f"blind-{version}", fields, {**files, **changed}).path


def constant_score(head: bytes) -> bytes:
    """The same network, whose third output is always 0.01: below every gate's upper threshold."""
    model = onnx.load_from_string(head)
    name = model.graph.output[2].name
    for node in model.graph.node:
        node.output[:] = [f"{name}_seen" if out == name else out for out in node.output]
        node.input[:] = [f"{name}_seen" if put == name else put for put in node.input]
    for what, value in (("nothing", 0.0), ("little", 0.01)):
        array = np.array(value, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, what))
    model.graph.node.append(
        onnx.helper.make_node("Mul", [f"{name}_seen", "nothing"], [f"{name}_zero"])
    )
    model.graph.node.append(onnx.helper.make_node("Add", [f"{name}_zero", "little"], [name]))
    return bytes(model.SerializeToString())
