"""Where runs are kept: nowhere, in a folder, or at an MLflow server."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from shared.errors import SettingsError
from shared.redaction import redact

OFF = "off"
DATABASE = "mlflow.db"
FOLDER = "experiments"


@dataclass(frozen=True, slots=True)
class ExperimentPlace:
    """One of both is given.

    folder   for a database and what runs leave behind
    server   an MLflow server's URL
    """

    folder: Path | None = None
    server: str = ""

    @property
    def uri(self) -> str:
        """As MLflow wants it."""
        return self.server or f"sqlite:///{self._absolute / DATABASE}"

    @property
    def artefacts(self) -> str | None:
        """The URI of what runs leave behind; None where the server decides."""
        return (self._absolute / "artefacts").as_uri() if self.folder else None

    @property
    def missing(self) -> bool:
        """Whether it is a folder in which no run was ever kept."""
        return self.folder is not None and not (self.folder / DATABASE).is_file()

    @property
    def _absolute(self) -> Path:
        return (self.folder or Path()).absolute()

    def __str__(self) -> str:
        """For people: without a password that may stand in the URL."""
        return redact(self.server) or str(self.folder)


def place_of(setting: str, default: Path) -> ExperimentPlace | None:
    """What `--experiments` says. None: nothing is kept.

    default   the folder that an empty setting stands for where the extra is installed
    Raises SettingsError for what is neither `off`, a folder nor an http(s) URL.
    """
    if setting == OFF:
        return None
    if not setting:
        return ExperimentPlace(folder=default) if find_spec("mlflow") else None
    if setting.startswith(("http://", "https://")):
        return ExperimentPlace(server=setting.rstrip("/"))
    if "://" in setting or setting.startswith(("sqlite:", "file:")):
        raise SettingsError(
            f"runs can't be kept in {setting}",
            fix="give a folder, the http(s) URL of an MLflow server, or `off`",
        )
    folder = Path(setting)
    if folder.exists() and not folder.is_dir():
        raise SettingsError(
            f"runs can't be kept in {setting}, which is a file",
            fix=f"give the folder, {folder.parent} say",
        )
    return ExperimentPlace(folder=folder)
