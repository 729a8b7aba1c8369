"""The page, in a real browser: its numbers, its lights, its keyboard, and its manners."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import tinygrad_fc as tg
from tinygrad_fc import viz
from tinygrad_fc.compiler import instructions
from tinygrad_fc.core.errors import ShapeError
from tinygrad_fc.ops import special
from tinygrad_fc.viz.training_page import SCRIPTS
from viz.networks import ADAM, CLASSIFIER, KINDS, README, lesson_of, texts, training

PACKAGE = files("tinygrad_fc")
SCRIPT_FILES = [PACKAGE.joinpath("compiler/runtime.js")]
SCRIPT_FILES += [PACKAGE.joinpath(f"viz/scripts/{name}.js") for name in SCRIPTS]


def go_to(page: Any, title: str) -> None:
    """Show the first step whose title begins with `title`."""
    page.evaluate("title => go(steps.findIndex((step) => step.title.startsWith(title)))", title)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_every_line_of_the_program_belongs_to_a_step(options: dict[str, Any]):
    lesson = lesson_of(training(**options))
    steps = lesson.steps()
    lit = {line for step in steps for line in step["lines"]}
    source = [line.text for line in lesson.source_lines]
    assert "\n".join(source) + "\n" == lesson.printer.source()
    body = next(k for k, line in enumerate(source) if line.startswith("    # "))
    end = next(k for k, line in enumerate(source) if line.startswith("    return "))
    for k, line in enumerate(source[body:end], body):
        value = lesson.source_lines[k].value
        is_guard = value in lesson.guards or re.search(r"^    (if |    |\))", line)
        assert k in lit or is_guard or re.search(r"^    #|_copy(_\d+)? = |\] = one$", line), line
    for step in steps:
        labels = [lesson.labels[v] for v in (*step["reads"], *step["between"], step["writes"])]
        assert len(set(labels)) == len(labels)
    # In the order of execution.
    order = [lesson.position.get(step["writes"], -1) for step in steps]
    assert order == sorted(order)


def test_the_gradients_of_a_residual_connection_add_up():
    steps = texts(lesson_of(training(**KINDS[6])))
    summed = steps["∂C/∂y1 = d_total_2 + part of ∂C/∂y1"]
    assert summed["title"] == "Layer 1: sum of gradients"
    assert steps["d1 = (1 - y1) * y1 * ∂C/∂y1"]["formulas"] == ()
    outputs = {"bce": "y2", "logits": "z2", "cross entropy": "z2", "mse": "y2"}
    outputs |= {"two values": "z2", "no target": "z2"}
    lessons = [lesson_of(training([2, 3, 1], loss=loss)) for loss in outputs]
    assert [x.labels[x.output] for x in lessons] == [*outputs.values()]


def test_a_constant_is_never_named_as_a_gradient():
    lesson = lesson_of(training(**README))  # the seed of the backward pass is 1, as in the sigmoid
    assert "y1 = 1 / (exp(-z1) + 1)" in texts(lesson)
    assert {*lesson.program.constants}.isdisjoint(lesson.cotangent_of)


FUNCTIONS: dict[str, Any] = {
    "np": np,
    "sum": np.sum,
    "row_sum": lambda x: x.sum(axis=1),
    "column": lambda x: np.reshape(x, (-1, 1)),
    "logsumexp": lambda z: np.log(np.exp(z).sum(axis=1)),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    "pick": lambda z, y: z[np.arange(len(z)), y],
    "one_hot": lambda y, z: np.eye(z.shape[1])[y],
    "ndtr": special.ndtr.forward,
    **{f.__name__: f for f in (instructions.add_at, instructions.put)},
}


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_each_formula_gives_the_array_beside_it(options: dict[str, Any]):
    lesson = lesson_of(training(**options))
    arrays = {f"v{n}": lesson.arrays[key] for key, n in lesson.numbers.items()}
    functions, count = FUNCTIONS | lesson.printer.bound, 0
    rtol = 1e-5 if options.get("dtype") == tg.float32 else 1e-9
    for step in lesson.steps():
        for result, parts in step["text"]:
            texts = (x if isinstance(x, str) else f"v{lesson.numbers[x]}" for x in parts)
            text = "".join(texts)
            if "rng" in lesson.labels.values() and ".random" in text:
                continue
            value = eval(text, functions, arrays)  # noqa: S307
            np.testing.assert_allclose(value, lesson.arrays[result], rtol, 1e-12, err_msg=text)
            count += 1
    assert count > len(lesson.calls) / 2


# Each number: in JavaScript, its tree evaluated, against the array

VALUES = "v.map((x) => Array.from(x.data))"
ARITHMETIC = """() => {
  const wrong = [];
  for (const step of steps) {
    for (const k of new Set([step.writes, ...step.between, ...step.reads])) {
      v[k].data.forEach((number, element) => {
        const tree = expand(graph[k], element, knownFor(k, step));
        if (!Object.is(tree.number + 0, number + 0)) wrong.push([data.labels[k], element]);
        if (!written(tree, false) || !written(tree, true)) wrong.push([step.title, "text"]);
      });
    }
  }
  return wrong;
}"""
PARTS = """() => Object.entries(data.gradients).flatMap(([k, gradient]) => {
  const step = steps[stepOf(gradient)];
  const d = step.reads.find((r) => data.kinds[r] === "cotangent" && isBatch(r));
  if (d === undefined) return [];
  const parts = [...Array(samples).keys()].map((b) => [...partOf(step, d, b).data]);
  return [[[...v[gradient].data], parts]];
})"""
SLOPES = """() => Object.entries(data.gradients).map(([k, gradient]) => [
  [...v[gradient].data],
  [...v[k].data.keys()].map((e) => finished(differing(Number(k), e, 1e-5)))])"""


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_every_number_is_explained_checked_and_trained(show: Any, options: dict[str, Any]):
    step, x, y = program = training(**options)
    lesson, page = lesson_of(program), show(*program)
    rtol = 1e-5 if options.get("dtype") == tg.float32 else 1e-12
    assert page.evaluate("data.missing") == []
    assert page.evaluate("weightLinks.every(({ weight: k }) => data.kinds[k] === 'parameter')")
    values = json.loads(page.evaluate("JSON.stringify(v.map((x) => Array.from(x.data, String)))"))
    for key, number in lesson.numbers.items():
        if key not in lesson.generators:
            computed = [float(n.replace("Infinity", "inf")) for n in values[number]]
            expected = np.asarray(lesson.arrays[key], float).ravel()
            np.testing.assert_allclose(computed, expected, rtol, rtol / 100)
    assert page.evaluate(ARITHMETIC) == []
    for gradient, parts in page.evaluate(PARTS):
        np.testing.assert_allclose(np.sum(parts, axis=0), gradient, rtol=1e-5, atol=1e-6)
    for gradient, slopes in page.evaluate(SLOPES) if rtol < 1e-6 else ():
        np.testing.assert_allclose(slopes, gradient, rtol=1e-5, atol=1e-8)
    if options.get("optimizer") == "":
        assert page.is_disabled("#train")
        assert "updates no parameter" in page.inner_text("#notice")
        return
    losses = [step(x, y).item() for _ in range(30)]
    page.evaluate("train(30)")
    trained = page.evaluate("costs")
    np.testing.assert_allclose(trained, losses, rtol)
    page.click("#reset")
    page.evaluate("train(1)")
    assert page.evaluate("costs") == trained[:1]


# Pointing, holding, following, changing, checking


def test_a_cell_shows_its_computation_and_leads_to_that_of_its_factors(show: Any):
    page = show(sizes=[2, 3, 2])
    page.hover('.result td[data-at="2,1"]')  # neuron 2, sample 1 of z1 = x @ weight.T + bias
    sources = page.eval_on_selector_all(
        "td.from[data-at]", "cells => cells.map(c => c.closest('.array').ariaLabel + c.dataset.at)"
    )
    assert sources == ["x0,1", "x1,1", "W⁽¹⁾2,0", "W⁽¹⁾2,1", "b⁽¹⁾2,0"]
    number = page.inner_text("#cell .value").replace("\N{MINUS SIGN}", "-")
    assert float(number) == pytest.approx(page.evaluate("v[steps[at].writes].data[5]"), rel=1e-3)
    page.hover("#heading")
    assert "Point at a cell" in page.inner_text("#cell")
    go_to(page, "Layer 2: gradient of the weights")
    page.click('.result td[data-at="1,2"]')
    held = page.inner_text("#cell")
    page.evaluate("train(1)")
    assert page.inner_text("#cell") != held  # the same cell, other numbers
    assert page.locator("#cell .term").count() == 5
    # Down to the numbers: d2 from y2 and the cost, which comes from an output and a target.
    for term, title in (
        (0, "Layer 2: back through the activation"),
        (-1, "Derivative of the cost"),
        (-1, "Cost of the batch"),
    ):
        page.click(f"#cell .term a >> nth={term}")
        assert title in page.inner_text("#step-title")
    page.click("#return")
    assert "Derivative of the cost" in page.inner_text("#step-title")
    # A weight leads to its gradient and to its update.
    for link, title in [(0, "Layer 1: gradient of the weights"), (1, "SGD: W")]:
        page.evaluate("move(0)")
        page.click(".parameter td[data-e] >> nth=1")
        page.click(f"#cell a >> nth={link}")
        assert title in page.inner_text("#step-title")
        assert page.evaluate("pinned.element") == 1


def test_a_number_is_changed_and_reset(show: Any):
    page = show(sizes=[1, 8, 5, 3, 1], batch=12)
    before = page.evaluate(VALUES)
    page.dblclick(".parameter td[data-e] >> nth=2")
    page.keyboard.type("0.75")
    page.keyboard.press("Enter")
    page.evaluate("idle()")
    assert page.evaluate("v[data.network.links[0].weight].data[2]") == 0.75
    assert page.evaluate("document.activeElement.dataset.e") == "2"  # back at the cell
    change, slope, by = page.evaluate("[edited.change, edited.slope, edited.number - edited.old]")
    assert change == page.evaluate("cost()") - before[page.evaluate("data.loss")][0]
    assert abs(change - slope * by) < abs(by) ** 2
    assert "is curvature" in page.inner_text("#edited")
    page.click("#reset")
    page.evaluate("idle()")
    assert page.evaluate(VALUES) == before
    page.focus(".parameter td[data-e] >> nth=0")  # and by the keyboard
    for key in ("ArrowDown", "Enter", "2", "Enter"):
        page.keyboard.press(key)
    page.evaluate("idle()")
    assert page.evaluate("v[data.network.links[0].weight].data[1]") == 2


def test_a_gradient_is_checked_and_has_a_part_of_each_sample(show: Any):
    page = show(**README)
    go_to(page, "Layer 2: gradient of the weights")
    page.click("#check-on")
    top = page.locator(".result").bounding_box()
    page.click('.result td[data-at="1,3"]')
    assert page.locator(".result").bounding_box() == top  # the cells stay under the pointer
    differences = {}
    for h in ("1e-1", "1e-5", "1e-10"):
        page.select_option("#h", h)
        verdict = page.inner_text("#check-result").replace("\N{MINUS SIGN}", "-")
        assert verdict.startswith("They agree")
        differences[h] = float(re.findall(r"difference ([\d.e-]+),", verdict)[0])
    assert differences["1e-5"] < min(differences["1e-1"], differences["1e-10"]) / 100
    # Of a long sum, the largest terms, and that of the sample.
    assert page.locator("#cell .term").count() == 7
    assert "34 smaller terms" in page.inner_text("#cell")
    assert page.locator("#cell .term.chosen").count() == 1
    page.focus("#sample")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#sample-text").startswith("b = 17 of 40")
    marked = page.eval_on_selector_all("td.sample", "cells => cells.map(c => c.dataset.at)")
    assert len(marked) == 5 + 8
    assert {at.split(",")[1] for at in marked} == {"17"}
    assert "b = 17 alone" in page.inner_text(".array.part h3")
    page.click("#fit .dot >> nth=39")
    assert page.inner_text("#sample-text").startswith("b = 39 of 40")


def test_the_network_fills_as_the_pass_proceeds_and_is_zoomed(show: Any):
    page = show(sizes=[2, 4, 1], loss="logits", activation="tanh")
    known = "nodes => nodes.filter(n => n.textContent).length"
    counts = []
    for title in ("Layer 1: weighted", "Layer 1: activation", "Layer 2: weighted", "Derivative"):
        go_to(page, title)
        counts.append(page.eval_on_selector_all("#network-svg .neuron text", known))
    assert counts == [2, 6, 7, 3]
    page.click("#network-svg .edge >> nth=2", force=True)
    assert page.evaluate("pinned.element") == 2
    page.focus("#network-svg .neuron >> nth=0")
    page.keyboard.press("Enter")
    assert page.evaluate("data.labels[pinned.k]") == "x"
    assert "accuracy" in page.inner_text("#data-plot")
    assert page.locator("#fit image").count() == 1  # the decision region
    page.focus("#zoom")
    page.keyboard.press("End")
    assert page.evaluate("$('network').scrollWidth / $('network').clientWidth") > 3.9
    page.click("#graph-tab")
    assert page.evaluate("$('graph').scrollWidth / $('graph').clientWidth") > 3.9


# Training and its controls


def test_the_learning_rate_is_that_of_the_field(show: Any):
    page = show(sizes=[2, 4, 1], loss="logits")
    before = page.evaluate(VALUES)
    page.fill("#rate", "0")
    page.evaluate("train(20)")
    assert len(set(page.evaluate("costs"))) == 1
    page.fill("#rate", "-1")
    assert page.locator("#rate:invalid").count() == 1
    page.fill("#rate", "0.5")
    page.click("#reset")
    page.evaluate("idle()")
    assert page.evaluate(VALUES) == before
    page.evaluate("slice = 4")
    page.click("#train")
    page.wait_for_selector("#train:text('Stop')")
    page.fill("#rate", "0.25")  # while it trains
    page.wait_for_function("costs.length > 3 && v[data.rates[0]].data[0] === 0.25")
    page.click("#train")
    assert re.match(r"[\d,]+ steps, C = ", page.inner_text("#trained"))
    page.fill("#rate", "1e308")
    page.click("#reset")
    page.evaluate("train(100)")
    assert "It diverged" in page.inner_text("#trained")


# Steps, lines, formulas

LIT = """() => ["#step-title", "#program .lit", "#derivation .lit .number", ".tg-graph .lit text"]
  .map((selector) => all(selector).map((node) => node.textContent.trim().replace(/\\s+/g, " ")))"""
FORMULAS = "all('#derivation li').map((n) => n.dataset.number)"


def test_a_step_lights_box_line_and_formula(show: Any):
    program = training([1, 3, 2, 1], optimizer="Adam")
    page, lit = show(*program), {}
    for _ in range(int(page.inner_text("#position").split()[-1])):
        (title,), lines, numbers, box = page.evaluate(LIT)
        assert lines
        assert all(line in " ".join(program[0].source.split()) for line in lines)
        lit[title] = lines[0].split(" ")[0], "".join(numbers)
        if layer := re.search(r"Layer (\d): .*(weight|bias|inputs)", title):
            assert box[0].startswith(f"linearlayer {layer[1]}")
        page.keyboard.press("ArrowRight")
    for title, expected in {
        "forward Layer 2: weighted sums": ("z2", "(3)"),
        "backward Derivative of the cost": ("d3", "(8)"),
        "backward Layer 3: gradient of the weights": ("weight_4_grad", "(14)"),
        "backward Layer 3: gradient of the inputs": ("d2", "(33)"),
        "backward Layer 2: back through the activation": ("d2", "(36)"),
        "backward Layer 1: gradient of the biases": ("bias_0_grad", "(38)"),
    }.items():
        assert lit[title] == expected
    # (33) is written for the last layer; below it holds with l in the place of L.
    go_to(page, "Layer 2: gradient of the inputs")
    assert "l for L" in page.inner_text("#rule")
    page.evaluate("move(0)")
    for line, title in [
        ("d1 =", "Layer 2: gradient of the inputs"),
        ("d1 =", "Layer 1: back through the activation"),  # the next step of the line
        ("correction =", "Adam: step size and ε"),
    ]:
        page.click(f"#program span:has-text('{line}') >> nth=0")
        assert title in page.inner_text("#step-title")


def test_the_formulas_that_hold_are_there_with_a_sentence(show: Any):
    page = show(sizes=[1, 3, 2, 1])
    assert page.evaluate(FORMULAS) == [str(k) for k in range(1, 39)]
    assert len(page.query_selector_all("#derivation li > math")) == 38
    assert min(map(len, page.locator("#derivation li p").all_text_contents())) > 10
    assert page.evaluate("document.fonts.check('16px \"Backprop Math\"')")
    page = show(**CLASSIFIER | {"sizes": [2, 4, 3, 3]}, between="norm")
    shown = set(page.evaluate(FORMULAS))
    assert shown.isdisjoint({"5", "8", "13", "36"})
    assert {"3", "14", "17", "cross entropy: d", "batch norm", "Adam"} <= shown
    go_to(page, "back through the normalisation")
    symbols = page.evaluate("[...steps[at].reads, steps[at].writes].map(plain)")
    assert symbols == ["∂C/∂x̂", "x̂", "\N{GREEK SMALL LETTER SIGMA}", "d⁽¹⁾"]


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
def test_the_formula_of_momentum_is_not_that_of_nesterov(optimizer: str):
    *_, last = lesson_of(training([1, 2, 1], optimizer=optimizer)).steps()
    assert ("momentum" in last["formulas"]) == (optimizer == "momentum")


def test_the_keyboard_reaches_everything(show: Any):
    page = show(sizes=[1, 3, 1])
    page.click("#graph-tab")
    focusable = page.locator('button:not(:disabled), input, a[href], [tabindex="0"]')
    count = focusable.locator("visible=true").count()
    reached = set()
    for _ in range(count + 2):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("all('*').indexOf(document.activeElement)"))
    assert len(reached) >= count
    page.focus('.tg-graph g[data-box="2"]')
    page.keyboard.press("Enter")
    assert "Layer 2: weighted sums" in page.inner_text("#step-title")
    page.focus("#next")
    for key, step in (("Home", 1), ("Enter", 2), ("ArrowRight", 3)):
        page.keyboard.press(key)
        assert f"Step {step} of" in page.inner_text("#position")
    page.evaluate("location.hash = '#step=5'")
    page.wait_for_function("at === 4")
    assert page.evaluate("pinned") is None  # an address without a cell pins none
    page.keyboard.press("ArrowRight")
    assert "#step=6&b=" in page.evaluate("location.href")
    with page.expect_download() as download:
        page.press("#export", "Enter")
    weights = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert np.shape(weights["weight_0"]) == (3, 1)


# Layout and access


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("options", [README, CLASSIFIER], ids=["regression", "classifier"])
def test_axe_has_no_violation(show: Any, options: dict[str, Any], scheme: str):
    """At every step under the profile `ci`, else at every eighth."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is missing")
    page = show(**options, width=390 if scheme == "dark" else 1440, scheme=scheme)
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    by = 1 if settings.get_current_profile_name() == "ci" else 8
    for step in range(0, page.evaluate("steps.length"), by):
        page.evaluate("k => { go(k); pin(steps[k].writes, 0); }", step)
        violations = page.evaluate("axe.run().then((result) => result.violations)")
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in violations] == []


def test_nothing_is_computed_or_drawn_in_one_frame(show: Any):
    page = show(sizes=[3, 4, 2])
    go_to(page, "Layer 1: gradient of the weights")
    for action in (
        *("train(1)", "$('reset').click()", "go(at)", "$('check-on').click()"),
        *("pin(steps[at].writes, 1)", "compute(changing(pinned.k, 1, 2))"),
    ):
        frames = f"""async () => {{
          let count = 0;
          const frame = requestAnimationFrame;
          requestAnimationFrame = (act) => frame((time) => {{ count += 1; act(time); }});
          slice = 0;
          {action};
          await idle();
          requestAnimationFrame = frame;
          return count;
        }}"""
        assert page.evaluate(frames) > 3, action


# Steps that scroll: one of the elements, sideways or down.
SCROLLING = """([elements, sideways]) => steps.filter((step, k) => {
  go(k);
  return [document.body, ...elements.map($)].some((x) => (
    x.scrollWidth > x.clientWidth + 1 || (!sideways && x.scrollHeight > x.clientHeight + 1)));
})"""


def test_no_step_of_a_large_network_scrolls(show: Any):
    page = show(sizes=[16, 24, 16, 10], batch=40, **ADAM)
    assert page.evaluate(SCROLLING, [["rule", "arrays"], False]) == []


@pytest.mark.parametrize("width", [390, 1024])
def test_small_screens_keep_the_controls_and_need_no_sideways_scrolling(show: Any, width: int):
    page = show(**README, width=width)
    assert page.evaluate(SCROLLING, [[], True]) == []
    page.evaluate("scrollTo(0, 2000)")
    assert page.locator("#next").bounding_box()["y"] < 200
    page.click("#lecture")
    assert page.locator("#fit").bounding_box()["width"] > width / 2


LARGE: dict[str, Any] = {"sizes": [784, 128, 10], "batch": 64, "dtype": tg.float32, **ADAM}


@pytest.mark.parametrize(("options", "size"), [(README, 225_000), (LARGE, 4_000_000)])
def test_pages_stay_small(options: dict[str, Any], size: int, tmp_path: Any):
    assert viz.page(*training(**options), tmp_path / "page.html").path.stat().st_size <= size


def test_scripts_have_short_lines():  # each page shows that they parse
    for script in SCRIPT_FILES:
        assert max(map(len, script.read_text(encoding="utf-8").splitlines())) <= 100


def test_what_has_no_form_in_javascript_is_recorded(show: Any):
    page = show(sizes=[2, 3, 1], between="product")
    assert "cumprod cannot run here" in page.inner_text("#notice")
    assert page.is_disabled("#train")
    page.hover(".result td[data-e]")
    assert page.locator("#cell .term").count() == 3


def test_writing_a_page_changes_nothing_and_refuses_other_steps(tmp_path: Any):
    step, x, y = training([2, 3, 1], optimizer="Adam")
    source = step.source
    first, second = (viz.page(step, x, y, tmp_path / name) for name in ("a.html", "b.html"))
    assert first._repr_html_().startswith("<iframe")
    assert step.source == source
    assert first.path.read_bytes() == second.path.read_bytes()
    weighted = tg.compile(lambda x, y, weight: ((x - y) * weight).sum(), backend="numpy")
    weighted(y, y, y)
    for error, message, *arguments in (
        (TypeError, r"compiled by tinygrad_fc\.compile", lambda x, y: x, x, y),
        (ShapeError, "no program for shapes", step, x[:2], y[:2]),
        (ValueError, r"at most 3 MB are shown\. Pass a smaller", *training([900, 500, 1])),
        (TypeError, "takes 3 arguments", weighted, y, y),
        (TypeError, "two tensors or arrays, and got a tuple", step, (x, y), y),
    ):
        with pytest.raises(error, match=message):
            viz.page(*arguments, tmp_path / "page.html")
    assert {path.name for path in tmp_path.iterdir()} == {"a.html", "b.html"}
