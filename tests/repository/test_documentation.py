"""Documentation: the two commands, links that lead somewhere, paths that exist, a current configuration page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository.files import ROOT, SERVICES, read, tracked
from tools.generate_configuration import describe

PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_PATH = re.compile(
    r"`((?:services|protos|cli|k8s|docker|monitoring|tools|docs|tests)/[^`\s*<]*)`"
)


def pages():
    return [ROOT / page for page in PAGES] + tracked("docs/*.md")


def anchors(text):
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def test_the_readme_names_both_commands_and_they_exist():
    readme, makefile = read("README.md"), read("Makefile")
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_the_fixed_pages_exist():
    for page in ("getting-started", "concepts", "configuration", "api", "operations"):
        assert (ROOT / "docs" / f"{page}.md").is_file(), page


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    broken = []
    for link in LINK.findall(text):
        target, _, anchor = link.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (
            anchor
            and path.suffix == ".md"
            and anchor not in anchors(path.read_text(encoding="utf-8"))
        ):
            broken.append(link)
    assert broken == []


def test_paths_that_the_map_names_exist():
    text = read("ARCHITECTURE.md").replace("<name>", "gateway").replace("<service>", "gateway")
    missing = [path for path in CODE_PATH.findall(text) if not (ROOT / path).exists()]
    assert missing == []


def test_every_service_is_on_the_map():
    text = read("ARCHITECTURE.md")
    assert [service for service in SERVICES if f"services/{service}/" not in text] == []


def test_the_configuration_page_is_current():
    done = subprocess.run(
        [sys.executable, "tools/generate_configuration.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_says_what_it_is_for():
    silent = [
        setting.name
        for service in SERVICES
        for inherited in (True, False)
        for setting in describe(service, inherited=inherited)
        if len(setting.meaning) < 10
    ]
    assert silent == []


def test_every_decision_is_listed():
    index = read("docs/decisions/README.md")
    records = [path.name for path in tracked("docs/decisions/*.md") if path.name != "README.md"]
    assert records
    assert [record for record in records if f"({record})" not in index] == []


def test_nothing_speaks_of_one_machine():
    """No address of a package registry, no absolute path of a person's or a build's machine."""
    folders = (f"{ROOT}/", f"{Path.home()}/")
    hosts = r"\b(?:pyp[i]|files\.pythonhoste[d]|registry\.npmj[s])\.(?:org|com)\b"
    stray = re.compile("|".join([hosts, r"/hom[e]/[a-z]|/User[s]/", *map(re.escape, folders)]))
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {hit.group()}" for hit in stray.finditer(text)]
    assert found == []


def test_no_large_or_stray_file_is_in_the_repository():
    large = {
        str(path.relative_to(ROOT)): path.stat().st_size
        for path in tracked()
        if path.stat().st_size > 500_000 or path.suffix in {".whl", ".pyc", ".so"}
    }
    assert large == {}
