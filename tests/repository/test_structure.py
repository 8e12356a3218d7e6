"""The shape of the code: every service alike, modules small, names that say something."""

import ast

import pytest

from tests.repository.files import ROOT, SERVICES, tracked

MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 80
EMPTY_NAMES = {"common", "utils", "util", "helpers", "helper", "core", "misc", "base"}
EMPTY_SUFFIXES = ("Manager", "Handler", "Helper", "Impl", "Utils")


def modules():
    return [path for path in tracked("services/*.py", "cli/*.py") if path.suffix == ".py"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_entrances(service):
    folder = ROOT / "services" / service
    for name in ("__main__.py", "settings.py", "servicer.py"):
        assert (folder / name).is_file(), name


def test_modules_are_small():
    large = {
        str(path.relative_to(ROOT)): lines
        for path in modules()
        if (lines := path.read_text(encoding="utf-8").count("\n")) > MAX_MODULE_LINES
    }
    assert large == {}


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def own_lines(function):
    """Lines of a function without those of functions inside it."""

    def span(node):
        return (node.end_lineno or node.lineno) - node.lineno + 1

    inner = [node for node in function.body if isinstance(node, FUNCTIONS)]
    return span(function) - sum(span(node) for node in inner)


def test_functions_are_short():
    long = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, FUNCTIONS) and own_lines(node) > MAX_FUNCTION_LINES:
                long[f"{path.relative_to(ROOT)}:{node.name}"] = own_lines(node)
    assert long == {}


def test_names_say_what_a_thing_is():
    empty = [
        str(path.relative_to(ROOT))
        for path in modules()
        if EMPTY_NAMES & {path.stem, *path.relative_to(ROOT).parts[1:-1]}
    ]
    for path in modules():
        empty += [
            f"{path.relative_to(ROOT)}:{node.name}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ClassDef) and node.name.endswith(EMPTY_SUFFIXES)
        ]
    assert empty == []


def test_every_module_says_what_it_holds():
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.stat().st_size
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_every_exemption_gives_its_reason():
    bare = []
    for path in [*modules(), *tracked("tools/*.py")]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            mark = line.partition("# noqa")[2]
            if mark and (not mark.startswith(":") or " - " not in mark):
                bare.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert bare == []
