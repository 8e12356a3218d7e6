"""Metadata goes into its column as JSON, and comes back with its types."""

import json

from hypothesis import given
from hypothesis import strategies as st

from services.filters.values import Timestamp
from services.retrieval.store import codec

texts = st.text(max_size=80)
values = st.one_of(
    st.none(),
    texts,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 2**50).map(Timestamp),
    st.frozensets(texts, max_size=12),
)


@given(st.dictionaries(texts, values, max_size=8))
def test_metadata_comes_back_as_it_was(metadata):
    written = codec.dump_metadata(metadata)
    found = codec.load_metadata(written)
    assert found == metadata
    assert [type(each) for each in found.values()] == [type(each) for each in metadata.values()]
    assert written == json.dumps(json.loads(written), ensure_ascii=False, separators=(",", ":"))
