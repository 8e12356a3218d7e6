"""The console in a real browser, against the real services."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.kit.suite import Suite, ingest_text

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}

# An astral character before the cited span: offsets in UTF-16 units would be off by one.
TEXT = (
    "# Harbour 🚢\n\nThe harbour master of Eskvik is Mats Berg. <script>alert(1)</script>\n\n"
    "Ships of more than 200 metres need a pilot in Eskvik.\n"
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine: install the package chromium"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def ready(suite: Suite) -> Suite:
    ingest_text(suite, harbour=TEXT)
    return suite


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, ready: Suite) -> Iterator[Page]:
    """A signed-in page; complaints of the browser fail the test."""
    context = browser.new_context(viewport=request.param)
    complaints: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.extend(_complaint(message)))
    opened.goto(f"{ready.http_url}/#key={ready.api_key}")
    expect(opened.locator("#page-ask")).to_be_visible()
    yield opened
    width = opened.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert complaints == []
    assert width <= request.param["width"], "the page is wider than the screen"


def _complaint(message: ConsoleMessage) -> list[str]:
    # A refusal of the API is noted by the browser, too; the console explains it to the person.
    is_refusal = "/v1/" in message.location.get("url", "") and "Failed to load" in message.text
    return [message.text] if message.type in {"error", "warning"} and not is_refusal else []


def ask(page: Page, question: str) -> None:
    page.fill("#ask-text", question)
    page.press("#ask-text", "Enter")
    expect(page.locator("#stages-card")).to_be_visible(timeout=20_000)


def test_key_in_the_address_signs_in_and_disappears(page: Page, ready: Suite):
    assert page.url == f"{ready.http_url}/"
    page.reload()
    expect(page.locator("#page-ask")).to_be_visible()
    page.click("#sign-out")
    expect(page.locator("#page-sign-in")).to_be_visible()
    page.reload()
    expect(page.locator("#page-sign-in")).to_be_visible()


def test_citation_opens_the_document_at_the_span(page: Page):
    ask(page, "Who is the harbour master of Eskvik?")
    expect(page.locator("#answer")).to_contain_text("Mats Berg")
    quote = page.locator("#citations blockquote").first.inner_text()
    page.locator("#answer .marker").first.click()
    mark = page.locator("#reader mark")
    expect(mark).to_be_in_viewport()
    assert " ".join(mark.inner_text().split()) == " ".join(quote.split())
    expect(page.locator("#reader-text")).to_contain_text("<script>alert(1)</script>")
    page.keyboard.press("Escape")
    expect(page.locator("#reader")).to_be_hidden()


def test_answer_shows_sources_stages_and_takes_feedback(page: Page):
    ask(page, "Which ships need a pilot in Eskvik?")
    expect(page.locator("#sources > li").first).to_contain_text("harbour")
    stages = page.locator("#stages th").all_inner_texts()
    assert {"retrieve", "generate", "total"} <= set(stages)
    page.get_by_role("button", name="Good answer").click()
    expect(page.locator(".thumbs")).to_have_text("Thank you.")


def test_refusal_is_told(page: Page):
    ask(page, "What is the boiling point of tungsten hexafluoride?")
    expect(page.locator("#answer-notices")).to_contain_text("do not support an answer")


def test_bad_filter_is_explained(page: Page):
    page.fill("#ask-filter", "year >=")
    page.fill("#ask-text", "x")
    with page.expect_response(re.compile("/v1/query")):
        page.press("#ask-text", "Enter")
    expect(page.locator("#ask-problem .notice")).to_contain_text("filter")
    expect(page.locator("#ask-result")).to_be_hidden()


def test_search(page: Page):
    page.click("nav a[href='#search']")
    page.fill("#search-text", "harbour master")
    page.press("#search-text", "Enter")
    expect(page.locator("#found > li").first).to_contain_text("harbour")
    expect(page.locator("#search-summary")).to_contain_text("passage")


def test_upload_becomes_ready_and_can_be_deleted(page: Page, tmp_path: Path):
    page.click("nav a[href='#documents']")
    upload = tmp_path / f"from-browser-{page.viewport_size['width']}.md"
    upload.write_text("# Uploaded\n\nThis came from a browser.\n")
    page.set_input_files("#upload-files", upload)
    row = page.locator("#documents tr", has_text=upload.name)
    expect(row.locator(".state")).to_have_text("ready", timeout=30_000)
    row.get_by_role("button", name=upload.name, exact=True).click()
    expect(page.locator("#reader-text")).to_contain_text("This came from a browser.")
    page.click("#reader-close")
    row.get_by_role("button", name=f"Delete {upload.name}").click()
    row.get_by_role("button", name=f"Delete {upload.name}").click()
    expect(row).to_have_count(0)


def test_wrong_key_is_told(browser: Browser, ready: Suite):
    context = browser.new_context()
    page = context.new_page()
    page.goto(ready.http_url)
    page.fill("#key", "crn_not_a_key")
    page.press("#key", "Enter")
    expect(page.locator("#sign-in-problem .notice")).to_be_visible()
    expect(page.locator("#page-ask")).to_be_hidden()
    context.close()


def test_every_control_has_a_name(page: Page):
    ask(page, "Who is the harbour master of Eskvik?")
    page.click("nav a[href='#documents']")
    expect(page.locator("#documents tr").first).to_be_visible()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select, textarea, progress")]
            .filter((one) => !(one.innerText || one.ariaLabel || one.labels?.length))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
