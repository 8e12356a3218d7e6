"""The console in a real browser, against the real services: every page, on a desk and on a phone."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from tests.kit.browser import (
    DESKTOP,
    PHONE,
    SCREENS,
    audit,
    chromium,
    needs_axe,
    needs_chromium,
    overflow,
    watched_page,
)
from tests.kit.suite import Suite, ingest_text

# An astral character before the cited span: offsets in UTF-16 units would be off by one.
HARBOUR = (
    "# Harbour 🚢\n\nThe harbour master of Eskvik is Mats Berg. <script>alert(1)</script>\n\n"
    "Ships of more than 200 metres need a pilot in Eskvik.\n"
)
DARK = "rgb(20, 20, 19)"
PAGES = (
    "ask",
    "search",
    "documents",
    "collections",
    "evaluate",
    "usage",
    "keys",
    "people",
    "operations",
)

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def ready(suite: Suite) -> Suite:
    ingest_text(suite, harbour=HARBOUR)
    return suite


@pytest.fixture(params=SCREENS)
def page(request: pytest.FixtureRequest, browser: Browser, ready: Suite) -> Iterator[Page]:
    """A signed-in page; complaints of the browser fail the test."""
    with watched_page(browser, viewport=request.param) as opened:
        sign_in(opened, ready, ready.api_key)
        yield opened
        assert overflow(opened) <= 0, "the page is wider than the screen"


def sign_in(page: Page, suite: Suite, key: str) -> None:
    page.goto(f"{suite.http_url}/#key={key}")
    expect(page.locator("#page-ask")).to_be_visible()


def posted(request: Request) -> Any:
    """Returns the body of a request."""
    assert request.post_data is not None
    return json.loads(request.post_data)


def width_of(page: Page) -> int:
    """Returns the screen's width: names by it keep the two screens' tests apart."""
    size = page.viewport_size
    assert size is not None
    return size["width"]


def go(page: Page, name: str) -> Locator:
    """Goes to a page as a person would, and returns it."""
    link = page.locator(f".side a[href='#{name}']").last
    if page.viewport_size == PHONE:
        page.get_by_role("button", name="All pages").click()
    link.click()
    if page.viewport_size == PHONE:
        expect(page.locator(".side")).to_be_hidden()  # it slides away
    shown = page.locator(f"#page-{name}")
    expect(shown).to_be_visible()
    return shown


def ask(page: Page, question: str) -> Locator:
    """Asks and returns the turn once it is answered."""
    page.fill("#ask-text", question)
    page.press("#ask-text", "Enter")
    turn = page.locator(".turn").last
    expect(turn.locator(".answer-footer .chip").first).to_be_visible()
    return turn


def test_key_in_the_address_signs_in_and_disappears(page: Page, ready: Suite):
    assert page.url == f"{ready.http_url}/"
    page.reload()
    expect(page.locator("#page-ask")).to_be_visible()
    if page.viewport_size == PHONE:
        page.get_by_role("button", name="All pages").click()
    page.click("#sign-out")
    expect(page.locator("#page-sign-in")).to_be_visible()
    page.reload()
    expect(page.locator("#page-sign-in")).to_be_visible()


def test_citation_opens_the_document_at_the_span(page: Page):
    turn = ask(page, "Who is the harbour master of Eskvik?")
    expect(turn.locator(".answer")).to_contain_text("Mats Berg")
    quote = turn.locator("blockquote").first.inner_text()
    turn.locator(".answer button.marker").first.click()
    mark = page.locator("#reader mark")
    expect(mark).to_be_in_viewport()
    assert " ".join(mark.inner_text().split()) == " ".join(quote.split())
    expect(page.locator("#reader-text")).to_contain_text("<script>alert(1)</script>")
    page.keyboard.press("Escape")
    expect(page.locator("#reader")).to_be_hidden()
    expect(turn.locator(".answer button.marker").first).to_be_focused()


def test_answer_shows_sources_time_and_explanation(page: Page):
    page.locator("#ask-options summary").click()
    page.get_by_label("Explain each stage").check()
    turn = ask(page, "Which ships need a pilot in Eskvik?")
    expect(turn.locator(".passage").first).to_contain_text("Harbour")
    turn.get_by_role("tab", name="Time").click()
    stages = turn.locator(".waterfall th[scope=row]").all_inner_texts()
    assert {"retrieve", "generate", "total"} <= set(stages)
    turn.get_by_role("tab", name="Time").press("ArrowRight")
    expect(turn.locator(".stages h3").first).to_be_visible()


def test_follow_up_is_asked_with_what_was_said(page: Page):
    ask(page, "Who is the harbour master of Eskvik?")
    with page.expect_request(re.compile("/v1/query")) as sent:
        ask(page, "Which ships need a pilot there?")
    history = posted(sent.value)["history"]
    assert [turn["speaker"] for turn in history] == ["user", "assistant"]
    assert "Mats Berg" in history[1]["text"]
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_feedback_with_a_comment_and_a_wrong_citation(page: Page):
    turn = ask(page, "Who is the harbour master of Eskvik?")
    turn.get_by_role("button", name="Bad answer").click()
    turn.get_by_label("[1]").check()
    turn.get_by_label("Comment").fill("He has retired.")
    with page.expect_request(re.compile("/v1/feedback")) as sent:
        turn.get_by_role("button", name="Send").click()
    expect(turn.locator(".answer-footer")).to_contain_text("Thank you.")
    body = posted(sent.value)
    assert (body["rating"], body["comment"], body["markers"]) == ("down", "He has retired.", [1])


def test_refusal_is_told(page: Page):
    turn = ask(page, "What is the boiling point of tungsten hexafluoride?")
    expect(turn.locator(".notice.info")).to_contain_text("do not support an answer")


def test_bad_filter_is_explained(page: Page):
    page.locator("#ask-options summary").click()
    page.fill("#ask-filter", "year >=")
    page.fill("#ask-text", "x")
    with page.expect_response(re.compile("/v1/query")):
        page.press("#ask-text", "Enter")
    turn = page.locator(".turn")
    expect(turn.locator(".notice.bad")).to_contain_text("filter")
    expect(turn.locator(".answer-card")).to_be_hidden()


def test_stopped_question_can_be_changed(page: Page):
    page.route("**/v1/query", lambda _: None)  # never answered
    page.fill("#ask-text", "Who is the harbour master?")
    page.press("#ask-text", "Enter")
    page.locator("#ask-stop").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#ask-text")).to_have_value("Who is the harbour master?")


def test_search_by_each_mode_with_scores_and_explanation(page: Page):
    shown = go(page, "search")
    shown.locator("#search-options summary").click()
    page.get_by_label("Explain each stage").check()
    for mode, score in (("Words", "words"), ("Meaning", "meaning"), ("Both", "both")):
        shown.get_by_role("radio", name=mode).check()
        page.fill("#search-text", "harbour master")
        page.press("#search-text", "Enter")
        first = page.locator("#found > li").first
        expect(first).to_contain_text("Harbour")
        expect(first.locator(".scores")).to_contain_text(score)
    expect(page.locator("#search-summary")).to_contain_text("passage")
    shown.get_by_role("tab", name="Explain").click()
    expect(shown.locator(".stages .notes li").first).to_be_visible()


def test_nothing_found_is_told(page: Page):
    shown = go(page, "search")
    shown.locator("#search-options summary").click()
    shown.get_by_role("radio", name="Words").check()
    page.fill("#search-text", "xylophone")
    page.press("#search-text", "Enter")
    expect(shown.get_by_role("heading", name="Nothing found")).to_be_visible()


def test_upload_becomes_ready_shows_its_chunks_and_can_be_deleted(page: Page, tmp_path: Path):
    go(page, "documents")
    upload = tmp_path / f"from-browser-{width_of(page)}.md"
    upload.write_text("# Uploaded\n\nThis came from a browser.\n")
    page.set_input_files("#upload-files", upload)
    row = page.locator("#documents tr", has_text=upload.name)
    expect(row.locator(".chip")).to_contain_text("ready", timeout=30_000)
    row.get_by_role("button", name="Uploaded", exact=True).click()
    expect(page.locator("#reader-text")).to_contain_text("This came from a browser.")
    page.get_by_role("tab", name="Chunks").click()
    expect(page.locator("#reader-chunks li").first).to_contain_text("This came from a browser.")
    page.get_by_role("button", name="Show in the text").click()
    expect(page.locator("#reader mark")).to_contain_text("This came from a browser.")
    page.click("#reader-close")
    row.get_by_role("button", name="Delete Uploaded").click()
    page.locator("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)


def test_dropped_file_is_taken(page: Page):
    go(page, "documents")
    name = f"dropped-{width_of(page)}.txt"
    page.evaluate(
        """(name) => {
            const data = new DataTransfer();
            data.items.add(new File(["Dropped onto the page."], name, {type: "text/plain"}));
            const drop = document.querySelector("#upload");
            drop.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }""",
        name,
    )
    row = page.locator("#documents tr", has_text=name)
    expect(row.locator(".chip")).to_contain_text("ready", timeout=30_000)
    page.get_by_role("button", name=f"Delete {name}").click()
    page.locator("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)


def test_failed_document_says_why_and_can_be_retried(page: Page, tmp_path: Path):
    go(page, "documents")
    name = f"broken-{width_of(page)}.pdf"
    (tmp_path / name).write_bytes(b"%PDF-1.7\nthis is no document\n")
    page.set_input_files("#upload-files", tmp_path / name)
    row = page.locator("#documents tr", has_text=name)
    expect(row.locator(".chip")).to_contain_text("failed", timeout=30_000)
    expect(row.locator(".bad-text")).not_to_be_empty()
    with page.expect_response(re.compile("/retry")) as answered:
        row.get_by_role("button", name=f"Retry {name}").click()
    assert answered.value.status == 200
    expect(row.locator(".chip")).to_contain_text("failed", timeout=30_000)
    row.get_by_role("button", name=f"Delete {name}").click()
    page.locator("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)


def test_collection_is_made_with_a_schema_used_and_deleted(page: Page):
    shown = go(page, "collections")
    name = f"made-{width_of(page)}"
    page.get_by_role("button", name="New collection").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Name", exact=True).fill(name)
    dialog.get_by_role("button", name="Add a field").click()
    dialog.get_by_label("Name of the field").fill("year")
    dialog.get_by_label("Type of the field").select_option("integer")
    dialog.get_by_label("Index of the vectors").select_option("hnsw")
    dialog.get_by_role("button", name="Create").click()
    tile = shown.locator(f"[data-collection='{name}']")
    expect(tile).to_contain_text("dimensions")
    tile.locator("summary").click()
    expect(tile).to_contain_text("year: integer")
    tile.get_by_role("button", name=f"Use {name}").click()
    expect(tile).to_contain_text("in use")
    expect(tile).to_contain_text("graph over full vectors")
    tile.get_by_role("button", name=f"Index of {name}").click()
    dialog.get_by_label("Kind").select_option("flat")
    dialog.get_by_role("button", name="Apply").click()
    expect(tile).to_contain_text("flat: exact scan")
    tile.get_by_role("button", name=f"Delete {name}").click()
    dialog.get_by_label("to confirm").fill("something else")
    dialog.get_by_role("button", name="Delete the collection").click()
    expect(dialog.locator(".notice.bad")).to_contain_text(name)
    dialog.get_by_label("to confirm").fill(name)
    dialog.get_by_role("button", name="Delete the collection").click()
    expect(tile).to_have_count(0)


def labelled() -> str:
    questions: list[dict[str, Any]] = [
        {
            "_id": "q1",
            "text": "Who is the harbour master of Eskvik?",
            "answers": ["Mats Berg"],
            "relevant": ["d1"],
        },
        {
            "_id": "q2",
            "text": "What is the boiling point of tungsten hexafluoride?",
            "answerable": False,
        },
    ]
    return "\n".join(json.dumps(each) for each in questions)


def test_evaluation_of_files_with_a_corpus(page: Page, tmp_path: Path, ready: Suite):
    shown = go(page, "evaluate")
    (tmp_path / "queries.jsonl").write_text(labelled())
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td2\t0\n")
    corpus = [{"_id": "d1", "text": HARBOUR}, {"_id": "d2", "text": "Bread is baked at dawn."}]
    (tmp_path / "corpus.jsonl").write_text("\n".join(json.dumps(each) for each in corpus))
    page.set_input_files("#evaluate-files", sorted(tmp_path.iterdir()))
    shown.get_by_role("button", name="Run").click()
    figures = page.locator("#evaluation .figures")
    expect(figures).to_be_visible(timeout=60_000)
    expect(figures.locator(".figure", has_text="nDCG@10")).to_contain_text("1.000")
    expect(page.locator("#evaluation tbody tr")).to_have_count(2)
    with ready.client() as client:
        names = [each["name"] for each in client.get("/v1/collections").json()["collections"]]
    assert not [name for name in names if name.startswith("eval-")]


def test_evaluation_of_pasted_questions_judges_answers(page: Page):
    shown = go(page, "evaluate")
    shown.get_by_role("radio", name="Answers").check()
    shown.locator("textarea").fill("not JSON")
    shown.get_by_role("button", name="Run").click()
    expect(shown.locator(".notice.bad")).to_contain_text("line 1")
    shown.locator("textarea").fill(labelled())
    shown.get_by_role("button", name="Run").click()
    found = page.locator("#evaluation .figure", has_text="Answer found")
    expect(found).to_contain_text("1.000", timeout=60_000)
    expect(page.locator("#evaluation")).to_contain_text("rightly refused")


def test_usage_is_drawn_and_adds_up(page: Page):
    ask(page, "Who is the harbour master of Eskvik?")
    shown = go(page, "usage")
    expect(shown.locator(".chart .bar").first).to_be_attached()
    row = page.locator("#usage tbody tr", has_text="query")
    expect(row).to_be_visible()
    page.get_by_label("Split by").select_option("collection")
    expect(page.locator("#usage tbody tr", has_text="default")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download as CSV").click()
    assert "request_count" in saved.value.path().read_text().splitlines()[0]


def test_key_is_made_works_rotates_and_is_revoked(page: Page, ready: Suite, browser: Browser):
    go(page, "keys")
    name = f"phone {width_of(page)}"
    page.get_by_role("button", name="New key").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Create").click()
    secret = page.locator("#new-secret").input_value()
    dialog.get_by_role("button", name="Done").click()
    row = page.locator("#keys tr", has_text=name)
    with watched_page(browser) as other:
        sign_in(other, ready, secret)
        expect(other.locator(".side a[href='#keys']")).to_have_count(0)
        expect(other.locator(".side a[href='#operations']")).to_have_count(0)
    row.get_by_role("button", name=f"Rotate {name}").click()
    dialog.get_by_role("button", name="Rotate").click()
    assert page.locator("#new-secret").input_value() != secret
    dialog.get_by_role("button", name="Done").click()
    expect(row).to_contain_text("2 secrets live")
    row.get_by_role("button", name=f"Revoke {name}").click()
    dialog.get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)


def test_user_group_and_role_are_made_and_deleted(page: Page):
    shown = go(page, "people")
    dialog = page.locator("dialog")
    suffix = width_of(page)
    shown.get_by_role("tab", name="Roles").click()
    shown.get_by_role("button", name="New role").click()
    dialog.get_by_label("Role", exact=True).fill(f"reader{suffix}")
    dialog.get_by_label("search", exact=True).check()
    dialog.get_by_role("button", name="Create").click()
    expect(shown.locator("tr", has_text=f"reader{suffix}")).to_be_visible()
    shown.get_by_role("tab", name="Users").click()
    shown.get_by_role("button", name="New user").click()
    dialog.get_by_label("User id").fill(f"anna{suffix}")
    dialog.get_by_role("button", name="Add a role").click()
    dialog.get_by_label("Role", exact=True).select_option(f"reader{suffix}")
    dialog.get_by_label("Collections").fill("default")
    dialog.get_by_role("button", name="Save").click()
    user = shown.locator("tr", has_text=f"anna{suffix}")
    expect(user).to_contain_text(f"reader{suffix} of default")
    user.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(user).to_have_count(0)
    shown.get_by_role("tab", name="Roles").click()
    shown.get_by_role("button", name=f"Delete reader{suffix}").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(shown.locator("tr", has_text=f"reader{suffix}")).to_have_count(0)


def test_operations_tell_health_latency_and_the_last_request(page: Page):
    ask(page, f"Which ships of {width_of(page)} metres need a pilot in Eskvik?")  # not cached
    shown = go(page, "operations")
    expect(shown).to_contain_text("retrieval: ready")
    expect(shown.locator("#latency")).to_contain_text("POST /v1/query")
    for stage in ("embed", "retrieve", "generate"):
        expect(shown.locator("#latency .stage-name", has_text=stage).first).to_be_visible()
    for told in ("Waiting", "Oldest job", "Cost today", "Caches", "Hit ratio"):
        expect(shown).to_contain_text(told)
    request = shown.locator("#traces > li", has_text="POST /v1/query").first
    request.locator("summary").click()
    steps = request.locator(".waterfall th[scope=row]").all_inner_texts()
    assert {"retrieve", "retrieval Search", "generate"} <= set(steps)
    assert "Eskvik" not in shown.inner_text()


def test_wrong_key_is_told(browser: Browser, ready: Suite):
    with watched_page(browser) as page:
        page.goto(ready.http_url)
        page.fill("#key", "crn_not_a_key")
        page.press("#key", "Enter")
        expect(page.locator("#page-sign-in .notice")).to_be_visible()
        expect(page.locator("#page-ask")).to_have_count(0)


def test_colours_are_chosen_and_kept(page: Page):
    if page.viewport_size == PHONE:
        page.get_by_role("button", name="All pages").click()
    page.get_by_role("radio", name="Dark").check()
    expect(page.locator("body")).to_have_css("background-color", DARK)
    page.reload()
    expect(page.locator("#page-ask")).to_be_visible()
    expect(page.locator("body")).to_have_css("background-color", DARK)


def test_whole_question_by_keyboard(browser: Browser, ready: Suite):
    with watched_page(browser) as page:
        sign_in(page, ready, ready.api_key)
        page.locator("body").click(position={"x": 700, "y": 300})
        page.keyboard.press("/")
        page.keyboard.type("Who is the harbour master of Eskvik?")
        page.keyboard.press("Enter")
        marker = page.locator(".answer button.marker").first
        expect(marker).to_be_visible()
        marker.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#reader mark")).to_be_in_viewport()
        page.keyboard.press("Escape")
        expect(marker).to_be_focused()


LONG = "a_name_without_a_break_that_is_longer_than_a_phone_is_wide_and_then_some_more"
STEPS = [
    {
        "name": f"cairn.embedding.v1.EmbeddingService/{LONG}" if depth % 2 else LONG,
        "kind": "call",
        "begin_ms": 3.0 * depth,
        "duration_ms": 1_234_567.891,
        "depth": depth,
        "is_failed": True,
    }
    for depth in range(9)
]
TRACES = {
    "traces": [
        {
            "trace_id": "0123456789abcdef" * 2,
            "name": f"DELETE /v1/collections/{LONG}",
            "status": "Not found",
            "began_at": "2026-11-21T14:00:00Z",
            "duration_ms": 123_456.789,
            "is_failed": True,
            "marks": [LONG, "dense_unavailable", "rerank_skipped"],
            "steps": STEPS,
        }
    ]
}
PROBLEM = {
    "type": "about:blank",
    "title": "Not found",
    "status": 404,
    "detail": f"There is no {LONG}.",
    "reason": "NOT_FOUND",
    "violations": [{"field": LONG, "description": "is wrong"}] * 2,
    "trace_id": "0123456789abcdef" * 2,
    "retry_after_seconds": None,
}


@pytest.mark.parametrize("width", [360, PHONE["width"]])
@pytest.mark.parametrize("is_refused", [False, True], ids=["long names", "refusals"])
def test_no_page_is_wider_than_a_phone(
    browser: Browser, ready: Suite, width: int, is_refused: bool
):
    """Whatever a name or a refusal is, nothing scrolls sideways; and nothing is cut off for it."""
    context = browser.new_context(viewport={"width": width, "height": 780}, reduced_motion="reduce")
    page = context.new_page()
    sign_in(page, ready, ready.api_key)

    def answer(route: Route) -> None:
        if is_refused:
            route.fulfill(status=404, content_type="application/problem+json", json=PROBLEM)
        elif "/traces" in route.request.url:
            route.fulfill(json=TRACES)
        else:
            route.continue_()

    page.route("**/v1/**", answer)
    for name in PAGES:
        page.evaluate(f"location.hash = '#{name}'")
        shown = page.locator(f"#page-{name}")
        expect(shown).to_be_visible()
        expect(shown.locator(".loading")).to_have_count(0)
        if name == "operations" and not is_refused:
            page.locator("#traces summary").click()
            expect(page.locator("#traces tfoot")).to_be_visible()
        clips = page.evaluate("getComputedStyle(document.querySelector('main')).overflowX")
        assert (overflow(page), clips) == (0, "visible"), name
    context.close()


@needs_axe
@pytest.mark.parametrize(
    ("screen", "colours"),
    [
        pytest.param(DESKTOP, "light", id="desktop-light"),
        pytest.param(PHONE, "dark", id="phone-dark"),
        pytest.param(DESKTOP, "dark", id="desktop-dark", marks=pytest.mark.long),
        pytest.param(PHONE, "light", id="phone-light", marks=pytest.mark.long),
    ],
)
def test_every_page_passes_the_audit(
    browser: Browser, ready: Suite, screen: dict[str, int], colours: Any
):
    with watched_page(browser, viewport=screen, color_scheme=colours) as page:
        page.goto(ready.http_url)
        expect(page.locator("#page-sign-in")).to_be_visible()
        assert audit(page) == []
        sign_in(page, ready, ready.api_key)
        ask(page, "Who is the harbour master of Eskvik?")
        page.locator(".answer button.marker").first.click()
        expect(page.locator("#reader mark")).to_be_visible()
        assert audit(page) == []
        page.keyboard.press("Escape")
        for name in PAGES:
            shown = go(page, name)
            expect(shown.locator(".loading")).to_have_count(0)
            assert audit(page) == [], name
            assert overflow(page) <= 0, name
