"""`splitsight cloud account|token|audit` on the cloud's machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cloud.records.database import Database
from shared.commands.root import app
from shared.errors import AccountError, CheckFailed
from tests.support.databases import place_migrated

SECRET = "correct horse battery staple"  # noqa: S105 - of these tests


class Shell:
    def __init__(self, folder: Path) -> None:
        self.config = folder / "cloud.yaml"
        self.config.write_text("bundles: [none]\ndatabase: sqlite:///records.db\n")
        self.path = place_migrated(Database, folder / "records.db")

    def run(self, *words: str, typed: str = "") -> Result:
        command = ["cloud", *words, "--config", str(self.config)]
        return CliRunner().invoke(app, command, input=typed, prog_name="splitsight")

    def rows(self, *words: str) -> list[dict[str, object]]:
        done = self.run(*words, "--format", "json")
        assert done.exit_code == 0, done.output
        found: list[dict[str, object]] = json.loads(done.stdout)
        return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_accounts_are_made_changed_and_put_out(shell: Shell) -> None:
    made = shell.run("account", "add", "ada", "--role", "admin", typed=f"{SECRET}\n")
    assert (made.exit_code, made.stdout) == (0, "ada can sign in as admin\n")
    shell.run("account", "add", "bob", "--role", "viewer", typed=f"{SECRET}\n")
    assert shell.run("account", "role", "bob", "engineer").exit_code == 0
    assert shell.run("account", "password", "bob", typed=f"{SECRET}!\n").exit_code == 0
    assert shell.run("account", "disable", "bob").exit_code == 0
    found = [(one["name"], one["role"], one["disabled"]) for one in shell.rows("account", "list")]
    assert found == [("ada", "admin", False), ("bob", "engineer", True)]
    shell.run("account", "disable", "bob", "--undo")
    assert not shell.rows("account", "list")[1]["disabled"]
    assert SECRET not in str(shell.rows("audit", "list"))
    assert [one["what"] for one in shell.rows("audit", "list", "--limit", "2")] == [
        "account enable",
        "account disable",
    ]


def test_what_can_not_be_is_refused(shell: Shell) -> None:
    for typed in ("short\n", ""):
        refused = shell.run("account", "add", "ada", "--role", "admin", typed=typed)
        assert isinstance(refused.exception, AccountError)
    assert shell.run("account", "add", "ada", "--role", "king").exit_code == 2
    assert shell.rows("account", "list") == []
    assert shell.rows("audit", "list") == []


def test_a_token_is_printed_once_listed_without_it_and_revoked(shell: Shell) -> None:
    shell.run("account", "add", "ada", "--role", "engineer", typed=f"{SECRET}\n")
    made = shell.run(
        "token", "add", "ada", "--scope", "read", "--scope", "label", "--purpose", "MES"
    )
    token = made.stdout.strip()
    assert token.startswith("sst_")
    (listed,) = shell.rows("token", "list")
    assert (listed["owner"], listed["purpose"], listed["scopes"]) == (
        "ada",
        "MES",
        ["read", "label"],
    )
    assert token not in str(shell.rows("audit", "list"))
    assert shell.run("token", "revoke", str(listed["id"])).exit_code == 0
    assert shell.rows("token", "list")[0]["revoked_at"] is not None
    unknown = shell.run("token", "add", "ada", "--scope", "all", "--purpose", "x")
    assert "read, label" in str(unknown.exception)


def test_verify_ends_well_or_with_the_first_bad_row_and_another_exit_code(shell: Shell) -> None:
    for name in ("ada", "bob", "eve"):
        shell.run("account", "add", name, "--role", "admin", typed=f"{SECRET}\n")
    whole = shell.run("audit", "verify", "--format", "json")
    noted = json.loads(whole.stdout)
    assert (whole.exit_code, noted["entries"], noted["problem"]) == (0, 3, None)
    assert shell.run("audit", "verify", "--expect", noted["head"]).exit_code == 0
    other = shell.run("audit", "verify", "--expect", "f" * 64)
    assert isinstance(other.exception, CheckFailed)
    database = Database(f"sqlite:///{shell.path}")
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE audit SET subject = 'nobody' WHERE number = 2")
    database.close()
    damaged = shell.run("audit", "verify", "--format", "json")
    assert isinstance(damaged.exception, CheckFailed)
    assert damaged.exception.exit_code == 61
    assert "entry 2 is not what was written" in str(damaged.exception)
    assert json.loads(damaged.stdout)["at"] == 2


def test_without_a_configuration_it_says_which_is_missing(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["cloud", "account", "list", "--config", str(tmp_path / "none.yaml")]
    )
    assert "none.yaml" in str(done.exception)
