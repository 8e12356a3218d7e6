"""The searcher for leaks finds them: else the test of the sinks could not fail."""

from __future__ import annotations

import base64
import io
import json
import logging
import urllib.parse

import structlog
from hypothesis import given
from hypothesis import strategies as st

from services.rpc.logs import ALLOWED_FIELDS, configure_logging, get_logger
from tests.kit.canaries import Canaries


def test_a_canary_is_found_however_it_is_written() -> None:
    canaries = Canaries(1)
    for number in range(30):
        text = canaries.make(f"place {number}")
        core = list(canaries.released)[-1]
        for shown in (
            f"line with {text} in it",
            text.upper(),
            urllib.parse.quote(text),
            json.dumps({"a": [text]}),
            repr(text.encode()),
            text.encode().hex(),
            base64.b64encode(core.encode()).decode(),
        ):
            assert f"place {number}" in canaries.found_in(shown), (text, shown)
    assert canaries.found_in("nothing of the kind, though an ada@example.org is in it") == set()


@given(
    st.dictionaries(
        st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12).filter(
            lambda name: name not in ALLOWED_FIELDS and name != "exc_info"
        ),
        st.text(min_size=3) | st.lists(st.text(min_size=3)) | st.binary(min_size=3),
        max_size=5,
    )
)
def test_no_field_that_is_not_listed_is_ever_written(fields: dict) -> None:
    stream = io.StringIO()
    handlers = list(logging.getLogger().handlers)
    try:
        configure_logging("sample", stream=stream)
        get_logger().info("event", **fields)
        line = json.loads(stream.getvalue())
        assert set(line) <= ALLOWED_FIELDS
        assert not set(line) & set(fields)
    finally:
        logging.getLogger().handlers[:] = handlers
        structlog.reset_defaults()
