"""Lines to paste: a shell must read them as they were meant."""

import ast
import json
import shlex

import pytest

from cli.connection import Connection
from cli.snippets import console_url, curl_line, grpc_line, openai_line

CONNECTION = Connection("http://127.0.0.1:8080", "crn_a_b")
QUESTIONS = [
    "How?",
    'Who said "don\'t"?',
    "a \\ b",
    "$HOME `id` !x",
    "Was heißt 灯塔?",
    "two\nlines",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_curl(question: str):
    words = shlex.split(curl_line(CONNECTION, question))
    assert words[:3] == ["curl", "-sS", "http://127.0.0.1:8080/v1/query"]
    assert json.loads(words[-1]) == {"query": question}
    assert "Authorization: Bearer crn_a_b" in words


@pytest.mark.parametrize("question", QUESTIONS)
def test_python_lines_are_programs(question: str):
    for line in (
        openai_line(CONNECTION, "m", question),
        grpc_line("127.0.0.1:8081", "crn_a_b", question),
    ):
        _, option, program = shlex.split(line)
        assert option == "-c"
        constants = [
            node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant)
        ]
        assert question in constants


def test_console_key_stands_in_the_fragment():
    assert console_url(CONNECTION) == "http://127.0.0.1:8080/#key=crn_a_b"


def test_key_is_not_in_the_representation():
    assert "crn_a_b" not in repr(CONNECTION)
