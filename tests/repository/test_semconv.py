"""Attributes of spans are named in one module, after the pinned conventions."""

import ast
import re

from opentelemetry.semconv import schemas

from services.rpc import semconv
from tests.repository.files import tracked

CONVENTIONS = re.compile(
    r"^(gen_ai|rpc|db|http|url|server|service|client|network|error)\.[a-z_.]+$"
)
OTHER = {"http.request", "http.response.start", "http.response.body", "http.disconnect"}
"""Messages of ASGI."""


def names():
    return {
        key: value for key, value in vars(semconv).items() if key.isupper() and key != "SCHEMA_URL"
    }


def test_no_other_module_spells_a_convention_out():
    known = set(names().values())
    for path in tracked("services/*.py"):
        if path.name == "semconv.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
                assert text not in known, f"{path}:{node.lineno} spells {text} out"
                prefix = text.partition(".")[0]
                if prefix in {"gen_ai", "db", "rpc"} and CONVENTIONS.match(text):
                    raise AssertionError(f"{path}:{node.lineno}: {text} belongs into semconv.py")


def test_each_constant_is_its_name():
    for constant, name in names().items():
        if name.startswith("cairn."):
            continue
        assert constant == name.upper().replace(".", "_")
        assert CONVENTIONS.match(name), name


def test_the_schema_is_pinned_to_a_version_that_is_published():
    version = semconv.SCHEMA_URL.rpartition("/")[2]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert semconv.SCHEMA_URL.startswith("https://opentelemetry.io/schemas/")
    newest = max(
        tuple(map(int, each.value.rpartition("/")[2].split("."))) for each in schemas.Schemas
    )
    assert tuple(map(int, version.split("."))) >= (newest[0], 0, 0)


def test_what_people_write_has_no_name():
    forbidden = (
        "query.text",
        "messages",
        "prompt",
        "documents",
        "url.full",
        "url.path",
        "url.query",
        "address",
    )
    allowed = {semconv.SERVER_ADDRESS}
    for name in set(names().values()) - allowed:
        assert not any(each in name for each in forbidden), name
