"""The documentation site, built by `sphinx-build docs docs/_build`, in a real browser."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

SITE = Path(__file__).parents[2] / "docs/_build"
FUNCTION = "reference/generated/tinygrad_fc."
# Ten kinds of page.
PAGES = [
    *("index", "start", "tutorials", "course/01_neuron", "howto/compile", "reference/tensors"),
    *(f"{FUNCTION}exp", f"{FUNCTION}nn.Linear", "explanation/differences", "glossary"),
    *("search", "genindex", "_modules/tinygrad_fc/core/op"),
]

pytestmark = pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the site is not built")


@pytest.fixture(scope="module", params=[(1440, 900, "light"), (390, 844, "dark")])
def browser(chromium: Any, request: pytest.FixtureRequest) -> Any:
    """Pages of a desktop and of a phone."""
    width, height, scheme = request.param
    size = {"width": width, "height": height}
    context = chromium.new_context(viewport=size, color_scheme=scheme)
    yield context
    context.close()


def opened(browser: Any, name: str, query: str = "") -> Any:
    """Return the page of that name, with an empty list of its errors."""
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto((SITE / f"{name}.html").as_uri() + query)
    return page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits(browser: Any, name: str):
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is missing")
    page = opened(browser, name)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    violations = page.evaluate("axe.run().then(result => result.violations)")
    serious = [rule for rule in violations if rule["impact"] in {"serious", "critical"}]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in serious] == []
    page.close()


def test_links_within_the_site_have_targets():
    missing = []
    targets: dict[str, set[str]] = {}
    for path in SITE.rglob("*.html"):
        text = re.sub(r"<(iframe|script).*?</\1>", "", path.read_text("utf-8"), flags=re.DOTALL)
        for link in {*re.findall(r'href="(?!\w+:)([^"]+)"', text)}:
            file, _, anchor = unquote(link).partition("#")
            name = os.path.normpath(path.parent / file.partition("?")[0]) if file else str(path)
            if name not in targets and Path(name).exists():
                source = Path(name).read_text("utf-8") if name.endswith(".html") else ""
                targets[name] = set(re.findall(r'\bid="([^"]+)"', source))
            is_page = name.endswith(".html") and anchor
            if name not in targets or (is_page and anchor not in targets[name]):
                missing.append((path.relative_to(SITE), link))
    assert missing == []


@pytest.mark.parametrize("words", ["vanishing gradient", "backpropagation", "Tensor.view", "exp"])
def test_the_search_finds(browser: Any, words: str):
    page = opened(browser, "search", f"?q={words.replace(' ', '+')}")
    page.wait_for_selector("#search-results li a")
    page.close()


def test_the_network_is_above_the_fold(chromium: Any):
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.goto((SITE / "index.html").as_uri())
    box = page.frame_locator("iframe").locator("#network-svg").bounding_box()
    assert box["height"] > 200
    assert box["y"] + box["height"] <= 900
    page.close()


def test_a_chapter_offers_its_notebook(browser: Any):
    page = opened(browser, "course/01_neuron")
    link = page.get_attribute("text=Download this chapter", "href")
    assert (SITE / "course" / link).resolve().read_text("utf-8").startswith("{")
    assert page.locator("details").count() == 2
    assert not page.is_visible("text=answer = -6")
    page.close()
