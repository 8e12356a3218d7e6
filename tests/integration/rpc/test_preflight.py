"""What a service looks at before it starts, with real databases and in processes of its own."""

import ast
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy

from services.rpc.preflight import Check, Finding, Level, address_check, examine, folder_check
from services.sql.engine import open_engine
from services.sql.preflight import Schema, database_check
from services.sql.schema import ensure_schema
from tests.kit.ports import free_port
from tests.kit.postgres import database_url as database_url  # noqa: PLC0414 - a fixture
from tests.kit.postgres import new_postgres_database
from tests.repository.files import ROOT, SERVICES

KNOWN = Schema("books", 3, {2: lambda connection: None})


def look(url: str, schema: Schema = KNOWN, file: Path = Path("none.db")) -> Finding:
    return database_check(url, file, [schema]).run()


def written(url: str, version: int) -> None:
    engine = open_engine(url)
    metadata = sqlalchemy.MetaData()
    sqlalchemy.Table("books", metadata, sqlalchemy.Column("id", sqlalchemy.Integer))
    ensure_schema(engine, metadata, version, component="books")
    engine.dispose()


@pytest.mark.parametrize(
    ("version", "level", "said"),
    [
        (3, Level.OK, "current (3)"),
        (2, Level.OK, "from 2 to 3"),
        (1, Level.FAILURE, "nothing leads from 1"),
        (4, Level.FAILURE, "start the newer program"),
    ],
)
def test_tables_are_compared_and_not_touched(database_url, version, level, said):
    written(database_url, version)
    found = look(database_url)
    assert found.level is level
    assert said in found.text
    written(database_url, version)  # would refuse had it been upgraded


def test_an_empty_database_is_fine_and_stays_empty(database_url, tmp_path):
    assert look(database_url).level is Level.OK
    engine = open_engine(database_url)
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()
    assert look("", file=tmp_path / "new" / "file.db").text == "a new SQLite file will be made"
    assert not (tmp_path / "new").exists()


@pytest.mark.postgres
def test_a_user_who_may_not_make_tables_is_found():
    url = new_postgres_database()
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE ROLE reader LOGIN PASSWORD 'secret-word'"))
        connection.execute(sqlalchemy.text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    try:
        own = sqlalchemy.make_url(url).set(username="reader", password="secret-word")
        found = look(own.render_as_string(hide_password=False))
    finally:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("DROP ROLE reader"))
        engine.dispose()
    assert found.level is Level.FAILURE
    assert "GRANT CREATE" in found.remedy.upper()
    assert "secret-word" not in f"{found.text}{found.remedy}"


def test_a_database_that_is_away_is_a_failure_without_its_password():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = look(f"postgresql://cairn:secret-word@127.0.0.1:{port}/cairn")
    assert found.level is Level.FAILURE
    assert found.remedy
    assert "secret-word" not in f"{found.text}{found.remedy}"
    assert look("mysql://cairn:secret-word@host/cairn").level is Level.FAILURE


def test_a_check_that_hangs_or_breaks_is_a_finding():
    never = threading.Event()

    def hangs() -> Finding:
        never.wait()
        raise AssertionError

    def breaks() -> Finding:
        raise RuntimeError("secret-word")

    hung, broken = examine([Check("a", hangs), Check("b", breaks)], seconds=0.2)
    never.set()
    assert (hung.level, broken.level) == (Level.FAILURE, Level.FAILURE)
    assert "RuntimeError" in broken.text
    assert "secret-word" not in broken.text


def test_a_folder_that_is_a_file_and_an_address_nobody_listens_at(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert folder_check(file).run().level is Level.FAILURE
    assert folder_check(tmp_path / "to" / "come").run().level is Level.OK
    assert not (tmp_path / "to").exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"redis://:secret-word@127.0.0.1:{taken.getsockname()[1]}/0"
        found = address_check("valkey", url, effect="nothing is shared").run()
        taken.listen()
        assert address_check("valkey", url, effect="").run().level is Level.OK
    assert found.level is Level.WARNING
    assert "nothing is shared" in found.text
    assert "secret-word" not in found.text


def preflight(service: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    return subprocess.run(
        [sys.executable, "-m", f"services.{service}.preflight", *arguments],
        cwd=ROOT,
        env=kept | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_may_start_with_nothing_set(service, tmp_path):
    folder = tmp_path / "data"
    done = preflight(service, "--json", **{f"CAIRN_{service.upper()}_DATA_DIR": str(folder)})
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    doubtful = [each["check"] for each in found if each["level"] != "ok"]
    # Nothing else is left open by default; it is said once, where calls come from outside.
    assert doubtful == (["internal calls"] if service == "gateway" else [])
    assert not folder.exists(), "it only looks"


def test_what_a_start_would_fail_with_is_told_before(tmp_path):
    data = {"CAIRN_RETRIEVAL_DATA_DIR": str(tmp_path)}
    done = preflight("retrieval", **data, CAIRN_RETRIEVAL_DATABASE_URL="mysql://u:secret-word@h/d")
    assert done.returncode == 1
    assert "retrieval must not start" in done.stdout
    assert "secret-word" not in done.stdout + done.stderr
    assert preflight("retrieval", **data, CAIRN_RETRIEVAL_MAX_QUERIES="x").returncode == 2
    model = preflight(
        "generation", CAIRN_GENERATION_ENGINES="vllm", CAIRN_GENERATION_VLLM_MODEL="/no/model"
    )
    assert model.returncode == 1
    assert "/no/model/config.json does not exist" in model.stdout
    collector = {"CAIRN_EMBEDDING_OTLP_ENDPOINT": f"127.0.0.1:{free_port()}"}
    embedder = preflight("embedding", CAIRN_EMBEDDING_MODEL="/no/model", **collector)
    assert embedder.returncode == 1
    assert "warning traces: 127.0.0.1:" in embedder.stdout
    assert "spans are lost" in embedder.stdout


def test_the_preflight_of_a_service_looks_at_all_of_its_tables():
    for path in ROOT.glob("services/*/**/*tables.py"):
        if "\nCOMPONENT = " not in path.read_text(encoding="utf-8"):
            continue
        service = path.relative_to(ROOT).parts[1]
        package = ".".join(path.relative_to(ROOT).parent.parts)
        text = (ROOT / "services" / service / "preflight.py").read_text(encoding="utf-8")
        imported = {
            (node.module, name.name)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom)
            for name in node.names
        }
        assert (package, path.stem) in imported, f"{service}'s preflight leaves out {path}"
