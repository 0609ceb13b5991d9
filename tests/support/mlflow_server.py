"""MLflow's own tracking server in a process, on its database and with its artefacts in a folder.

`python -m tests.support.mlflow_server FOLDER PORT` prints the port that it listens on; 0: any.
`mlflow server` wants all of MLflow, 460 MB; its application runs as well on what tests have.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.commands import ROOT


@contextmanager
def mlflow_server(folder: Path, port: int = 0) -> Iterator[str]:
    """Its URL, while it runs."""
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.support.mlflow_server", str(folder), str(port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, (folder / "log").read_text()[-4000:]
        yield f"http://127.0.0.1:{int(line)}"
    finally:
        child.kill()
        child.communicate()


def main(folder: Path, port: int) -> None:
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{folder / 'server.db'}"
    os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = str(folder / "artefacts")
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
    os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
    from mlflow.server import app
    from mlflow.server.handlers import _get_tracking_store
    from werkzeug.serving import make_server

    # Its tables take seconds, which a client would not wait for.
    _get_tracking_store()
    server = make_server("127.0.0.1", port, app, threaded=True)
    print(server.port, flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
