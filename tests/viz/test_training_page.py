"""The page, in a real browser: its numbers, its lights, its keyboard, and its manners."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, viz
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.viz.lesson import Lesson
from tinygrad_fc.viz.training_page import _program
from viz.networks import network

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.5),
    "momentum": lambda p: optim.SGD(p, lr=0.2, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
}


class Residual(nn.Module):
    """Adds its input to the result of a layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(width, width), nn.Tanh())

    def forward(self, x: Any) -> Any:
        return x + self.layer(x)


def training(
    sizes: list[int],
    batch: int = 5,
    *,
    activation: str = "sigmoid",
    optimizer: str = "SGD",
    loss: str = "mse",
    norm: bool = False,
    residual: bool = False,
    dropout: bool = False,
    seed: int = 0,
) -> tuple[Any, Any, Any]:
    """Return a compiled step that was called once, and its batch."""
    model, _, _ = network(sizes, activation, seed)
    criterion: nn.Module = nn.MSELoss(reduction="batchmean")
    if loss == "cross entropy":
        model, criterion = model[:-1], nn.CrossEntropyLoss()
    elif loss == "softmax":
        model = nn.Sequential(*model[:-1], nn.Softmax(dim=1))
    if norm:
        model = nn.Sequential(model[0], nn.BatchNorm1d(sizes[1]), *model[1:])
    if residual:
        model = nn.Sequential(*model[:2], Residual(sizes[1]), *model[2:])
    if dropout:
        model = nn.Sequential(*model[:2], nn.Dropout(0.3), *model[2:])
    update = OPTIMIZERS[optimizer](model.parameters())

    @tg.compile(backend="numpy")
    def step(x: Any, y: Any) -> Any:
        update.zero_grad()
        cost = criterion(model(x), y)
        cost.backward()
        update.step()
        return cost

    x = tg.linspace(-2, 2, batch * sizes[0]).reshape(batch, sizes[0])
    y = tg.rand(batch, sizes[-1])
    if loss == "cross entropy":
        y = tg.randint(0, sizes[-1], (batch,))
    step(x, y)
    return step, x, y


class Opened:
    """A page in the browser, with what it asked for and complained of."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        options.setdefault("viewport", {"width": 1280, "height": 860})
        self.page = browser.new_page(**options)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())

    def close(self) -> None:
        """Close it; it asked no host and complained of nothing."""
        asked = [url for url in self.requests if not url.startswith(("file:", "data:"))]
        assert asked == []
        assert self.complaints == []
        self.page.close()


def opened(browser: Any, tmp_path: Path, program: tuple[Any, Any, Any], **options: Any) -> Opened:
    path = tmp_path / "backprop.html"
    viz.page(*program, path)
    return Opened(browser, path, **options)


NETWORKS: list[dict[str, Any]] = [
    {"sizes": [1, 3, 1]},
    {"sizes": [1, 8, 5, 3, 1], "batch": 40},
    {"sizes": [2, 4, 3], "activation": "tanh", "optimizer": "momentum"},
    {"sizes": [3, 4, 2], "activation": "relu", "optimizer": "Adam"},
    {"sizes": [2, 4, 3], "loss": "cross entropy", "optimizer": "Adam", "batch": 12},
    {"sizes": [2, 4, 3], "loss": "softmax", "activation": "tanh"},
    {"sizes": [3, 4, 2], "activation": "relu", "norm": True},
    {"sizes": [2, 3, 1], "residual": True},
    {"sizes": [2, 4, 3, 1], "activation": "gelu", "dropout": True},
]


def operations() -> tuple[Any, Any, Any]:
    """Return a compiled step of a network written in single operations, and its batch."""
    tg.manual_seed(0)
    w, b, v = tg.randn(3, 4), tg.zeros(4), tg.randn(4, 1)
    update = optim.Adam([p.requires_grad_() for p in (w, b, v)], lr=0.1)

    @tg.compile(backend="numpy")
    def step(x: Any, y: Any) -> Any:
        update.zero_grad()
        h = (x @ w + b).tanh()
        cost = (((h + h * h) @ v - y) ** 2).mean() + 0.1 * (w * w).sum()
        cost.backward()
        update.step()
        return cost

    x, y = tg.randn(5, 3), tg.randn(5, 1)
    step(x, y)
    return step, x, y


@pytest.mark.parametrize("options", [*NETWORKS, None], ids=str)
def test_every_line_of_the_program_belongs_to_a_step(options: dict[str, Any] | None):
    step, *batch = operations() if options is None else training(**options)
    arguments = [a.numpy() for a in batch]
    lesson = Lesson(_program(step, arguments), arguments)
    steps = lesson.steps()
    lit = {line for shown in steps for line in shown["lines"]}
    body = next(k for k, line in enumerate(lesson.source) if line.startswith("    # "))
    for k, line in enumerate(lesson.source[body:], body):
        if line.startswith("    return "):
            break
        if not re.search(r"^    #|_copy = ", line):
            assert k in lit, line
    names = {number: lesson.labels.get(key) for key, number in lesson.numbers.items()}
    for shown in steps:
        labels = [names[k] for k in (*shown["reads"], *shown["between"], shown["writes"])]
        assert None not in labels
        assert len(set(labels)) == len(labels)


def test_the_gradients_of_a_residual_connection_add_up():
    step, *batch = training([2, 3, 1], residual=True)
    arguments = [a.numpy() for a in batch]
    steps = Lesson(_program(step, arguments), arguments).steps()
    texts = {shown["text"]: shown for shown in steps}
    assert texts["∂C/∂y1 = d_3_linear + part of ∂C/∂y1"]["title"] == (
        "Layer 1: sum of gradients: ∂C/∂y1"
    )
    assert texts["d1 = (1 - y1) * y1 * ∂C/∂y1"]["formulas"] == ()
    assert texts["d3 = (1 - y3) * y3 * ∂C/∂y3"]["formulas"] == (13,)


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_all_numbers_are_those_of_the_program(
    chromium: Any, tmp_path: Path, options: dict[str, Any]
):
    program = training(**options)
    shown = opened(chromium, tmp_path, program)
    arguments = [a.numpy() for a in program[1:]]
    lesson = Lesson(_program(program[0], arguments), arguments)
    values = json.loads(shown.page.evaluate("JSON.stringify(v.map((x) => Array.from(x.data)))"))
    for key, number in lesson.numbers.items():
        if key in lesson.generators:
            continue
        expected = np.asarray(lesson.arrays[key], float).ravel()
        np.testing.assert_allclose(values[number], expected, rtol=1e-12, atol=1e-14)
    # What is written in the cells is those numbers, in every step.
    count = len(lesson.steps())
    for _ in range(count):
        for box in shown.page.query_selector_all(".array"):
            expected = np.asarray(values[int(box.get_attribute("data-value"))])
            cells = box.eval_on_selector_all(
                "td", "cells => cells.map(c => Number(c.dataset.number))"
            )
            assert cells
            assert set(cells) <= set(expected)
        shown.page.keyboard.press("ArrowRight")
    assert f"Step {count} of {count}" in shown.page.inner_text("#position")
    shown.close()


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_it_trains_as_the_step_does(chromium: Any, tmp_path: Path, options: dict[str, Any]):
    step, x, y = program = training(**options)
    shown = opened(chromium, tmp_path, program)
    shown.page.click("text=Train 1000")
    losses = [step(x, y).item() for _ in range(1000)]
    trained = shown.page.evaluate("costs")
    np.testing.assert_allclose(trained, losses, rtol=1e-9)
    assert "1000 steps trained" in shown.page.inner_text("#trained")
    shown.page.click("#reset")
    shown.page.click("text=Train 1 >> nth=0")
    assert shown.page.evaluate("costs") == trained[:1]
    shown.close()


def test_the_learning_rate_is_that_of_the_field(chromium: Any, tmp_path: Path):
    shown = opened(chromium, tmp_path, training([1, 3, 1]))
    before = shown.page.evaluate("v.map((x) => Array.from(x.data))")
    shown.page.fill("#rate", "0")
    shown.page.click("text=Train 100 >> nth=0")
    assert shown.page.evaluate("costs").count(shown.page.evaluate("costs")[0]) == 100
    shown.page.fill("#rate", "0.5")
    shown.page.click("#reset")
    assert shown.page.evaluate("v.map((x) => Array.from(x.data))") == before
    shown.close()


def test_a_step_lights_box_line_and_formula(chromium: Any, tmp_path: Path):
    program = training([1, 3, 2, 1])
    shown = opened(chromium, tmp_path, program)
    seen = []
    count = int(shown.page.inner_text("#position").split()[-1])
    for _ in range(count - 1):
        title = shown.page.inner_text("#step-title")
        line = shown.page.eval_on_selector_all(
            "#program .lit", "nodes => nodes.map(n => n.textContent.trim())"
        )
        numbers = shown.page.eval_on_selector_all(
            "#derivation .lit .number", "nodes => nodes.map(n => n.textContent)"
        )
        box = shown.page.eval_on_selector_all(
            ".tg-graph .current text", "nodes => nodes[0].textContent"
        )
        assert len(shown.page.query_selector_all(".tg-graph .current")) == 1
        assert line
        for text in line:
            assert text in program[0].source
        seen.append((title, line[0].split(" ")[0], "".join(numbers), box))
        shown.page.keyboard.press("ArrowRight")
    assert shown.page.inner_text("#step-title") == "guard Guards"
    by_title = {title: rest for title, *rest in seen}
    assert by_title["forward Layer 2: weighted sums"][:2] == ["z2", "(3)"]
    assert by_title["forward Layer 2: activation"][:2] == ["y2", "(2)"]
    assert by_title["backward Derivative of the cost"][1] == "(8)"
    assert by_title["backward Layer 3: back through the activation"][:2] == ["d3", "(13)"]
    assert by_title["backward Layer 3: gradient of the weights"][1] == "(14)"
    assert by_title["backward Layer 3: gradient of the biases"][1] == "(17)"
    assert by_title["backward Layer 3: gradient of the inputs"][:2] == ["d2", "(33)"]
    assert by_title["backward Layer 2: back through the activation"][:2] == ["d2", "(36)"]
    assert by_title["backward Layer 1: gradient of the weights"][1] == "(37)"
    assert by_title["backward Layer 1: gradient of the biases"][1] == "(38)"
    for title, (_, _, box) in by_title.items():
        if "weights" in title or "weighted" in title or "biases" in title or "inputs" in title:
            assert box.startswith("linear")
            assert re.search(r"\d", title)[0] in box  # type: ignore[index]
    assert [title for title in by_title if title.startswith("update")] == [
        f"update SGD: {name}_{k}" for k in (0, 2, 4) for name in ("weight", "bias")
    ]
    shown.close()


def test_a_click_on_a_line_shows_its_step(chromium: Any, tmp_path: Path):
    shown = opened(chromium, tmp_path, training([1, 3, 1], optimizer="Adam"))
    for line, title in [
        ("error =", "Cost of the batch"),
        ("d1 =", "Layer 1: back through the activation"),  # (36), which the line cites
        ("d1 =", "Layer 2: gradient of the inputs"),
        ("bias_2 -=", "Adam: bias_2"),
        ("adam_pow =", "Adam: shared numbers"),
        ("raise GuardFailed >> nth=0", "Guards"),
    ]:
        text, *nth = line.split(" >> ")
        shown.page.click(" >> ".join([f"#program span:has-text('{text}')", *nth]))
        assert title in shown.page.inner_text("#step-title")
        assert shown.page.locator(f"#program .lit:has-text('{text}')").count() >= 1
    shown.page.click("#program span:has-text('return (')")
    assert "returns" in shown.page.inner_text("#note")
    shown.close()


def test_all_formulas_are_there_once_as_mathml(chromium: Any, tmp_path: Path):
    shown = opened(chromium, tmp_path, training([1, 2, 1]))
    numbers = shown.page.eval_on_selector_all(
        "#derivation li", "nodes => nodes.map(n => n.dataset.number)"
    )
    assert numbers == [str(k) for k in range(1, 39)]
    assert len(shown.page.query_selector_all("#derivation li > math")) == 38
    assert shown.page.evaluate("document.fonts.check('16px \"Backprop Math\"')")
    shown.close()


def test_pointing_at_a_cell_shows_its_row_and_column(chromium: Any, tmp_path: Path):
    shown = opened(chromium, tmp_path, training([2, 3, 2]))
    page = shown.page
    page.hover('.result td[data-at="1,2"]')  # of z1 = x @ weight.T + bias
    assert sources(page) == [
        *(["x", f"1,{j}"] for j in range(2)),
        *(["weight_0", f"2,{j}"] for j in range(2)),
        ["bias_0", "0,2"],
    ]
    assert "z1[1, 2] = " in page.inner_text("#cell")
    page.click("text=Train 100 >> nth=0")
    page.evaluate("pointAt(document.querySelector('.result td'))")
    page.evaluate("train(1)")
    assert page.inner_text("#cell").startswith("z1[0, 0] = ")
    assert page.inner_text("#cell").endswith(str(page.evaluate("v[steps[at].writes].data[0]")))
    page.hover('[aria-label="bias_0"] td[data-at="0,2"]')
    assert page.inner_text("#cell").startswith("bias_0[2] = ")
    shown.close()


def sources(page: Any) -> list[list[str]]:
    """Return name of the array and position of each cell that is outlined as a source."""
    places: list[list[str]] = page.eval_on_selector_all(
        "td.from", "cells => cells.map(c => [c.closest('.array').ariaLabel, c.dataset.at])"
    )
    return places


def test_cross_entropy_comes_from_a_row_and_its_target(chromium: Any, tmp_path: Path):
    shown = opened(chromium, tmp_path, training([2, 3, 3], loss="cross entropy"))
    page = shown.page
    page.click("#program span:has-text(' loss = ')")
    page.hover(".result td")
    assert len(sources(page)) == 5 * 3 + 5
    assert page.inner_text("#cell").startswith("loss = ")
    page.click("#program span:has-text(' d2 = ')")
    assert page.eval_on_selector_all("#derivation .lit", "nodes => nodes.length") == 0
    page.hover('.result td[data-at="1,2"]')
    assert sources(page) == [*(["z2", f"1,{j}"] for j in range(3)), ["y", "0,1"]]
    shown.close()


def test_the_keyboard_reaches_everything(chromium: Any, tmp_path: Path):
    shown = opened(chromium, tmp_path, training([1, 3, 1]))
    page = shown.page
    focusable = page.eval_on_selector_all(
        'button:not(:disabled), input, [tabindex="0"]',
        "nodes => nodes.filter(n => n.getClientRects().length).length",
    )
    reached = set()
    for _ in range(focusable + 2):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("""[...document.querySelectorAll('*')].indexOf(document.activeElement)""")
        )
    assert len(reached) >= focusable
    page.focus('.tg-graph g[data-box="2"]')
    page.keyboard.press("Enter")
    assert "Layer 2: weighted sums" in page.inner_text("#step-title")
    page.keyboard.press("End")
    assert "guard" in page.inner_text("#step-title")
    page.keyboard.press("Home")
    assert "Step 1 of" in page.inner_text("#position")
    page.focus("#play")
    page.keyboard.press("Enter")
    assert page.inner_text("#play") == "Pause"
    page.wait_for_function("document.getElementById('position').textContent.startsWith('Step 2')")
    page.keyboard.press("Enter")
    assert page.inner_text("#play") == "Play"
    shown.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_has_no_violation(chromium: Any, tmp_path: Path, scheme: str, width: int):
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is missing")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    view = {"width": width, "height": 860}
    program = training([1, 8, 5, 3, 1], 40)
    shown = opened(chromium, tmp_path, program, color_scheme=scheme, viewport=view)
    shown.page.evaluate(script)
    for _ in range(3):
        violations = shown.page.evaluate("axe.run().then(result => result.violations)")
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in violations] == []
        for _ in range(8):
            shown.page.keyboard.press("ArrowRight")
    shown.close()


def test_a_phone_needs_no_sideways_scrolling(chromium: Any, tmp_path: Path):
    view = {"width": 390, "height": 844}
    shown = opened(chromium, tmp_path, training([1, 8, 5, 3, 1], 40), viewport=view)
    for _ in range(33):
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
        shown.page.keyboard.press("ArrowRight")
    shown.close()


def test_print_shows_everything_below_each_other(chromium: Any, tmp_path: Path):
    shown = opened(chromium, tmp_path, training([1, 3, 1]))
    shown.page.emulate_media(media="print")
    assert not shown.page.is_visible("#next")
    tops = shown.page.eval_on_selector_all(
        "section", "nodes => nodes.map(n => n.getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)
    cut = "nodes => nodes.filter(n => n.scrollHeight > n.clientHeight + 2).length"
    assert shown.page.eval_on_selector_all("section", cut) == 0
    shown.close()


def test_reduced_motion_is_heeded(chromium: Any, tmp_path: Path):
    shown = opened(chromium, tmp_path, training([1, 3, 1]), reduced_motion="reduce")
    moving = "nodes => nodes.filter(n => n.getAnimations().length).length"
    shown.page.keyboard.press("ArrowRight")
    assert shown.page.eval_on_selector_all("*", moving) == 0
    shown.close()


def test_twenty_layers_do_not_overlap_and_stay_small(chromium: Any, tmp_path: Path):
    shown = opened(chromium, tmp_path, training([6] * 21, 20))
    boxes = shown.page.eval_on_selector_all(
        ".tg-graph g[data-box] rect",
        "nodes => nodes.map(n => n.getBoundingClientRect()).map(r => [r.top, r.bottom])",
    )
    assert len(boxes) == 41
    assert all(above[1] < below[0] for above, below in pairwise(boxes))
    assert (tmp_path / "backprop.html").stat().st_size <= 350_000
    shown.close()
    viz.page(*training([1, 8, 5, 3, 1], 40), tmp_path / "small.html")
    assert (tmp_path / "small.html").stat().st_size <= 200_000


def test_what_has_no_form_in_javascript_is_recorded(chromium: Any, tmp_path: Path):
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @tg.compile(backend="numpy")
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y) + 0 * x.cumprod(dim=0).sum()
        loss.backward()
        optimizer.step()
        return loss

    x, y = tg.randn(5, 2), tg.rand(5, 1)
    step(x, y)
    shown = opened(chromium, tmp_path, (step, x, y))
    assert "recorded numbers" in shown.page.inner_text("#notice")
    assert shown.page.is_disabled("text=Train 100 >> nth=0")
    assert "Layer 1: weighted sums" in shown.page.inner_text("#step-title")
    shown.close()


def test_writing_a_page_changes_nothing_and_is_repeatable(tmp_path: Path):
    step, x, y = training([2, 3, 1], optimizer="Adam")
    source = step.source
    viz.page(step, x, y, tmp_path / "a.html")
    shown = viz.page(step, x, y, tmp_path / "b.html")
    assert "b.html" in repr(shown)
    assert shown._repr_html_().startswith("<iframe")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert step.source == source


def test_what_is_not_a_compiled_step_of_these_shapes_is_refused(tmp_path: Path):
    step, x, y = training([2, 3, 1])
    with pytest.raises(TypeError, match=r"compiled by tinygrad_fc\.compile"):
        viz.page(lambda x, y: x, x, y, tmp_path / "page.html")
    with pytest.raises(ShapeError, match="no program for shapes"):
        viz.page(step, x[:2], y[:2], tmp_path / "page.html")
    with pytest.raises(ShapeError, match=r"at most 50,000 are shown\. Pass a smaller batch"):
        viz.page(*training([300, 200, 1]), tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
