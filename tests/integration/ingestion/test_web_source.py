"""Documents from web addresses: bounded, only from where it is allowed, again only when changed."""

from __future__ import annotations

import gzip
import time

import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from services.ingestion.sources.model import ItemFailedError, ItemGoneError
from services.ingestion.sources.web import WebFetcher, WebLimits
from services.ingestion.sources.web_address import InternalHosts, Resolver
from services.rpc.errors import InvalidArgumentError
from tests.kit.ingestion_service import run_ingestion
from tests.kit.sources import SourceUnderTest
from tests.kit.web_server import Page, web_server

HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
def server():
    with web_server() as running:
        yield running


def fetcher(tmp_path, *, internal=("127.0.0.1",), look_up=None, **limits):
    bounds = WebLimits(**{"max_bytes": 100_000, "seconds": 5.0, **limits})
    resolver = Resolver(InternalHosts.parse(internal), look_up)
    return WebFetcher(resolver, bounds, tmp_path)


async def test_a_page_comes_with_its_name_type_and_version(server, tmp_path):
    server.pages["/a%20b.html?x=1"] = Page(b"<p>Hello", headers={**HTML, "ETag": '"v1"'})
    url = f"{server.url}/a%20b.html?x=1"
    fetched = await fetcher(tmp_path).fetch(url)
    assert b"".join(fetched.content.pieces) == b"<p>Hello"
    assert (fetched.file_name, fetched.content_type) == ("a b.html", HTML["Content-Type"])
    assert fetched.version == 'etag:"v1"'
    assert await fetcher(tmp_path).fetch(url, fetched.version) is None
    assert server.asked[-1][1]["if-none-match"] == '"v1"'
    assert server.asked[-1][1]["host"] == f"127.0.0.1:{server.port}"


async def test_the_connection_goes_to_the_address_that_was_checked(server, tmp_path):
    """A name that leads elsewhere at the second look-up has no second look-up."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    looked_up = []

    async def look_up(host, port):
        looked_up.append(host)
        return next(answers)

    server.pages["/"] = Page(b"Hello")
    own = fetcher(tmp_path, look_up=look_up)
    fetched = await own.fetch(f"http://rebinding.example.org:{server.port}/")
    assert b"".join(fetched.content.pieces) == b"Hello"
    assert looked_up == ["rebinding.example.org"]
    assert server.asked[0][1]["host"].startswith("rebinding.example.org")
    with pytest.raises(ItemFailedError, match="inside the network"):
        await own.fetch(f"http://rebinding.example.org:{server.port}/")


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1:{port}/secret",
        "http://[::1]:{port}/secret",
        "http://[::ffff:127.0.0.1]:{port}/secret",
        "http://2130706433:{port}/secret",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "http://user:password@127.0.0.1/secret",
    ],
)
async def test_each_redirect_is_checked(server, tmp_path, location):
    server.pages["/"] = Page(status=302, headers={"Location": location.format(port=server.port)})
    server.pages["/secret"] = Page(b"secret")
    with pytest.raises(ItemFailedError) as caught:
        await fetcher(tmp_path).fetch(f"{server.url}/")
    assert caught.value.problem.reason == "ADDRESS_REFUSED"
    assert len(server.asked) == 1


async def test_redirects_are_followed_so_far(server, tmp_path):
    server.pages["/0"] = Page(status=301, headers={"Location": "/1"})
    server.pages["/1"] = Page(status=307, headers={"Location": "2#part"})
    server.pages["/2"] = Page(b"there")
    fetched = await fetcher(tmp_path).fetch(f"{server.url}/0")
    assert b"".join(fetched.content.pieces) == b"there"
    server.pages["/2"] = Page(status=302, headers={"Location": "/0"})
    with pytest.raises(ItemFailedError, match="redirected more than 3 times"):
        await fetcher(tmp_path, max_redirects=3).fetch(f"{server.url}/0")
    assert len(server.asked) == 3 + 4


def _endless(stream):
    for _ in range(10_000):
        stream.write(b"x" * 10_000)


def _trickle(stream):
    for _ in range(100):
        stream.write(b"x")
        stream.flush()
        time.sleep(0.02)


BOMB = gzip.compress(b"\0" * 50_000_000)
BAD_ANSWERS = {
    "declared too large": (Page(b"", headers={"Content-Length": "100001"}, write=lambda s: None), "TOO_LARGE"),
    "endless": (Page(write=_endless), "TOO_LARGE"),
    "bomb": (Page(BOMB, headers={"Content-Encoding": "gzip"}), "TOO_LARGE"),
    "damaged gzip": (Page(b"no gzip", headers={"Content-Encoding": "gzip"}), "FETCH_FAILED"),
    "other encoding": (Page(b"x", headers={"Content-Encoding": "br"}), "FETCH_FAILED"),
    "forbidden": (Page(b"x", 403), "FETCH_FAILED"),
    "broken": (Page(b"x", 500), "FETCH_FAILED"),
    "odd": (Page(b"x", 204), "FETCH_FAILED"),
    "slow": (Page(write=_trickle), "FETCH_FAILED"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_bad_answers_have_reasons(server, tmp_path, name):
    page, reason = BAD_ANSWERS[name]
    server.pages["/"] = page
    seconds = 0.5 if name == "slow" else 10.0
    with pytest.raises(ItemFailedError) as caught:
        await fetcher(tmp_path, seconds=seconds).fetch(f"{server.url}/")
    assert caught.value.problem.reason == reason


async def test_gone_pages_and_servers_that_are_away(server, tmp_path):
    with pytest.raises(ItemGoneError):
        await fetcher(tmp_path).fetch(f"{server.url}/nowhere")
    with pytest.raises(ItemFailedError) as caught:
        await fetcher(tmp_path).fetch("http://127.0.0.1:9999/")
    assert caught.value.problem.is_retryable


async def test_compressed_pages_are_read(server, tmp_path):
    server.pages["/"] = Page(gzip.compress(b"Hello"), headers={"Content-Encoding": "gzip"})
    fetched = await fetcher(tmp_path).fetch(f"{server.url}/")
    assert b"".join(fetched.content.pieces) == b"Hello"


@pytest.fixture
async def suite(tmp_path):
    settings = {"url_internal_hosts": ("127.0.0.1",)}
    async with run_ingestion(
        tmp_path / "jobs.sqlite", settings=settings, has_schedule=True
    ) as running:
        yield running


async def test_a_source_of_addresses_follows_what_changes(suite, server):
    server.pages["/a"] = Page(b"<h1>Granite</h1><p>Granite is hard.", headers={**HTML, "ETag": "1"})
    server.pages["/b"] = Page(b"Basalt is dark.", headers={"Content-Type": "text/plain"})
    source = SourceUnderTest(suite)
    urls = [f"{server.url}/{name}" for name in ("a", "b", "missing")]
    first = await source.put_source(
        pb.Source(name="docs", kind=pb.SOURCE_KIND_URL, urls=urls, collection="docs")
    )
    assert (first.report.submitted_count, first.report.failed_count) == (2, 0)
    await source.settle()
    held = suite.retrieval.document(f"docs/{urls[0]}")
    assert (held.uri, held.metadata["source"].keyword) == (urls[0], "docs")

    again = await source.sync()
    assert (again.report.unchanged_count, again.report.submitted_count) == (2, 0)

    server.pages["/a"] = Page(b"<p>Gneiss is older.", headers={**HTML, "ETag": "2"})
    del server.pages["/b"]
    changed = await source.sync()
    assert (changed.report.submitted_count, changed.report.deleted_count) == (1, 1)
    assert set(await source.texts()) == {f"docs/{urls[0]}"}


async def test_fetched_documents_are_submitted_and_bad_addresses_fail_alone(suite, server):
    server.pages["/good"] = Page(b"Granite is hard.", headers={"Content-Type": "text/plain"})
    server.pages["/image"] = Page(b"\x89PNG\r\n", headers={"Content-Type": "image/png"})
    urls = [f"{server.url}/good", f"{server.url}/gone", f"{server.url}/image", "http://[::1]/x"]
    header = pb.DocumentHeader(acl=["group:a"])
    request = pb.FetchDocumentsRequest(
        scope=suite.scope, collection="docs", urls=urls, header=header
    )
    good, gone, image, inside = (await suite.stub.FetchDocuments(request)).submissions
    assert good.job.document_id == urls[0]
    assert (gone.error.reason, inside.error.reason) == ("FETCH_FAILED", "ADDRESS_REFUSED")
    assert image.error.reason == "UNSUPPORTED_CONTENT_TYPE"
    await suite.finish(good.job.job_id)
    assert list(suite.retrieval.document(urls[0]).acl) == ["group:a"]
    for bad in ([], ["ftp://x/"], ["http://127.1/"], urls * 30):
        request = pb.FetchDocumentsRequest(scope=suite.scope, collection="docs", urls=bad)
        with pytest.raises(InvalidArgumentError) as caught:
            await suite.stub.FetchDocuments(request)
        assert caught.value.violations[0].field.startswith("urls")
