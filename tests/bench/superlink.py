"""Rounds on Flower's own engine, with TLS and node authentication, against the same in process:
bit by bit, and second by second."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import psutil
import torch
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleet.rounds.coordination.coordinator import RunPlan
from fleet.rounds.run import RESULT
from fleet.rounds.superlink import write_app
from hardware_sim.processes.child import Child, splitsight, stop_all
from shared.errors import ProcessError
from shared.federation.base_network import BaseNetwork
from shared.loopback import free_port
from shared.splitnet.base_network import export_base
from shared.splitnet.network import Architecture, SplitNet
from tests.cloud.datasets.makers import part, save

ROUNDS = 2
PATIENCE_S = 400.0
PLANTS = ("north", "south")


def measure(_bundle: Path, folder: Path) -> list[dict[str, object]]:
    """Two rounds of FedAvg among two nodes."""
    torch.manual_seed(0)
    export_base(SplitNet(Architecture(height=64, width=64), pretrained=False), folder / "base.npz")
    _pictures(folder)
    here, here_s = _in_process(folder)
    there, there_s = _on_superlink(folder)
    same = here.arrays.keys() == there.arrays.keys() and all(
        np.array_equal(array, there.arrays[name]) for name, array in here.arrays.items()
    )
    return [
        {
            "rounds": ROUNDS,
            "same_bits": same,
            "in_process_s": here_s,
            "superlink_s": there_s,
        }
    ]


def _pictures(folder: Path) -> None:
    rows: list[list[str]] = []
    for plant in PLANTS:
        for number in range(8):
            bad = number < 4
            picture = part(number + 100 * len(rows), defective=bad)
            image = save(folder / f"set/{plant}-{number}.png", picture)
            split = "train" if number % 4 else "test"
            rows.append([image.name, "blot" if bad else "good", plant, f"{plant}{number}", split])
    with (folder / "set/splits.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["image", "defect", "domain", "part", "split"], *rows])


def _config(folder: Path, name: str) -> Path:
    config = folder / f"{name}.yaml"
    settings = {
        "base": "base.npz",
        "folder": f"run-{name}",
        "scope": {"from_block": 8},
        "local": {"versions": 1},
        "deadline_s": 200,
        # Flower's own engine starts a process for each question.
        "answer_s": 60.0,
        "in_process": {"data": "set/splits.csv"},
    }
    config.write_text(yaml.safe_dump(settings))
    return config


def _in_process(folder: Path) -> tuple[BaseNetwork, float]:
    config, began = _config(folder, "here"), time.monotonic()
    command = ["fleet", "federate", "--config", str(config), "--rounds", str(ROUNDS)]
    subprocess.run(splitsight(*command), check=True, timeout=PATIENCE_S, capture_output=True)
    return BaseNetwork.read(folder / "run-here" / RESULT), time.monotonic() - began


def _on_superlink(folder: Path) -> tuple[BaseNetwork, float]:
    config, app = _config(folder, "there"), folder / "app"
    write_app(app, config, RunPlan(ROUNDS))
    with _engine(folder) as environment:
        began = time.monotonic()
        flwr = Path(sys.executable).parent / "flwr"
        with (folder / "run.log").open("wb") as log:
            subprocess.run(
                [str(flwr), "run", str(app), "bench", "--stream"],
                env=environment,
                stdout=log,
                stderr=log,
                timeout=PATIENCE_S,
                check=False,
            )
        result = folder / "run-there" / RESULT
        if not result.exists():
            raise ProcessError(
                "the run on SuperLink left no result", fix=(folder / "run.log").read_text()[-2000:]
            )
        return BaseNetwork.read(result), time.monotonic() - began


@contextmanager
def _engine(folder: Path) -> Iterator[dict[str, str]]:
    """A SuperLink with TLS that knows its two nodes by their keys, and these nodes."""
    address = f"127.0.0.1:{free_port()}"
    home = folder / "flower"
    home.mkdir()
    _certificates(folder)
    (home / "config.toml").write_text(
        f'[superlink.bench]\naddress = "{address}"\nroot-certificates = "{folder / "ca.pem"}"\n'
    )
    programs = Path(sys.executable).parent
    # Flower starts programs of its own by their bare names.
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "FLWR_HOME": str(home), "PATH": path}
    link = Child(
        "superlink",
        [
            str(programs / "flower-superlink"),
            *("--ssl-ca-certfile", str(folder / "ca.pem")),
            *("--ssl-certfile", str(folder / "server.pem")),
            *("--ssl-keyfile", str(folder / "server.key")),
            "--enable-supernode-auth",
            *("--port", address.rpartition(":")[2]),
        ],
        folder / "superlink.log",
        environment=environment,
    )
    with ExitStack() as closing:
        link.start()
        children = [link]
        closing.callback(lambda: _stop(children))
        for plant in PLANTS:
            _register(folder, plant, environment)
        for plant in PLANTS:
            config = {
                "device": plant,
                "base": folder / "base.npz",
                "state": folder / f"state-{plant}",
                "manifest": folder / "set/splits.csv",
            }
            node = Child(
                plant,
                [
                    str(programs / "flower-supernode"),
                    *("--root-certificates", str(folder / "ca.pem")),
                    *("--superlink", address),
                    *("--port", str(free_port())),
                    *("--auth-supernode-private-key", str(folder / f"{plant}.key")),
                    *("--node-config", " ".join(f"{k}='{v}'" for k, v in config.items())),
                ],
                folder / f"{plant}.log",
                environment=environment,
            )
            node.start()
            children.append(node)
        yield environment


def _stop(children: list[Child]) -> None:
    """With whatever they have started themselves."""
    started = [
        grandchild
        for child in children
        if child.running
        for grandchild in psutil.Process(child.pid).children(recursive=True)
    ]
    stop_all(children)
    for one in started:
        if one.is_running():
            one.kill()


def _register(folder: Path, plant: str, environment: dict[str, str]) -> None:
    """Tell the SuperLink a node's key, once it answers."""
    key = ec.generate_private_key(ec.SECP384R1())
    (folder / f"{plant}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    public = folder / f"{plant}.pub"
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    )
    flwr, give_up = Path(sys.executable).parent / "flwr", time.monotonic() + 90
    while True:
        done = subprocess.run(
            [str(flwr), "supernode", "register", str(public), "bench"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 0:
            return
        if time.monotonic() > give_up:
            said = f"{done.stdout[-800:]}{done.stderr[-800:]}"
            raise ProcessError(f"{plant} can't be registered: {said}")
        threading.Event().wait(1.0)


def _certificates(folder: Path) -> None:
    """An authority, and a certificate of it for 127.0.0.1."""
    now = datetime.now(UTC)
    authority = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench authority")])

    def certificate(subject: str, key: ec.EllipticCurvePrivateKey, *, is_ca: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        return builder.sign(authority, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)

    server = ec.generate_private_key(ec.SECP384R1())
    (folder / "ca.pem").write_bytes(certificate("bench authority", authority, is_ca=True))
    (folder / "server.pem").write_bytes(certificate("127.0.0.1", server, is_ca=False))
    (folder / "server.key").write_bytes(
        server.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
