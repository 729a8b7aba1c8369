"""A headless Chromium for the tests of the page; they are skipped where there is none."""

import shutil
from typing import Any

import pytest

from tinygrad_fc import viz
from viz.networks import training

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def chromium() -> Any:
    """The browser, of Debian's package `chromium`, driven by playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def show(chromium: Any, tmp_path: Any) -> Any:
    """Open the page of a program. No page asks another host, or complains of anything."""
    asked: list[str] = []
    complaints: list[str] = []

    def show(*program: Any, width: int = 1440, scheme: str = "light", **options: Any) -> Any:
        viz.page(*(program or training(**options)), tmp_path / "backprop.html")
        view = {"width": width, "height": 900}
        page = chromium.new_page(viewport=view, color_scheme=scheme)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((tmp_path / "backprop.html").as_uri())
        # From here on, a computation and a drawing are complete when the call returns; a drawing
        # that a computation asks for comes in the next frame: `idle()` waits for it.
        page.evaluate("slice = 60000; idle()")
        page.evaluate("move(0)")
        return page

    yield show
    for context in chromium.contexts:
        context.close()
    assert not complaints
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
