"""A real browser for tests: pages that collect complaints, and axe-core's audit."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
SCREENS = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]

_AXE = Path(__file__).parents[1] / "javascript/node_modules/axe-core/axe.min.js"

needs_chromium = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine: install the package chromium"
    ),
]
needs_axe = pytest.mark.skipif(
    not _AXE.exists(), reason="axe-core is not installed: tools/setup.py node"
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Runs Chromium while the block lasts."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@contextlib.contextmanager
def watched_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """Opens a page of its own; complaints of the browser and faults of the server fail the test."""
    context = browser.new_context(reduced_motion="reduce", **options)
    complaints: list[str] = []
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.extend(_complaint(message)))
    page.on("response", lambda response: complaints.extend(_fault(response)))
    try:
        yield page
    finally:
        context.close()
    assert complaints == []


def audit(page: Page) -> list[str]:
    """Returns what axe-core finds wrong with the page as it stands."""
    page.evaluate(_AXE.read_text("utf-8") + ";0")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def overflow(page: Page) -> int:
    """Returns by how many pixels the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def _complaint(message: ConsoleMessage) -> list[str]:
    # A refusal of the API is noted by the browser, too; the console explains it to the person.
    is_refusal = "/v1/" in message.location.get("url", "") and "Failed to load" in message.text
    return [message.text] if message.type in {"error", "warning"} and not is_refusal else []


def _fault(response: Response) -> list[str]:
    is_ours = response.status in {404, 405, 500, 501, 503}
    return [f"{response.status} {response.request.method} {response.url}"] if is_ours else []
