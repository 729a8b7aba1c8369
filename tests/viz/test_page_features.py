"""The page as it is shown: the network of any graph, paths, refusals, tours, addresses."""

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, viz
from tinygrad_fc.viz.network import network, symbols
from tinygrad_fc.viz.training_page import _data
from viz.networks import ADAM, CLASSIFIER, README, Net, lesson_of, step_of, texts, training


def title_of(program: tuple[Any, Any, Any]) -> str:
    return network(lesson_of(program)).title(8)


def batch(n: int, width: int, outputs: int, classes: int = 0) -> tuple[Any, Any]:
    tg.manual_seed(3)
    y = tg.randint(0, classes, (n,)) if classes else tg.randn(n, outputs)
    return tg.randn(n, width), y


def attention(net: Any, x: Any) -> Any:
    return net.o(tg.softmax(net.q(x) @ net.k(x).T / 2.0, dim=1) @ net.v(x))


def skip(net: Any, x: Any) -> Any:
    first = tg.tanh(net.a(x))
    return net.c(first + tg.tanh(net.b(first)))


def recurrent(count: int) -> Any:
    def forward(net: Any, x: Any) -> Any:
        h = tg.tanh(net.i(x[:, :1]))
        for t in range(1, count):
            h = tg.tanh(net.h(h) + net.i(x[:, t : t + 1]))
        return net.o(h)

    return forward


def gated(net: Any, x: Any) -> Any:
    h = tg.relu(net.a(x))
    return net.b(h) * tg.sigmoid(net.g(h))


L = nn.Linear
NETWORKS: dict[str, tuple[Any, Any, Any]] = {
    "4-3": (L(4, 3), 4, 3),
    "4 → 4 | 4 | 4 → 16 → 4 → 3": (
        *(Net(attention, q=L(4, 4), k=L(4, 4), v=L(4, 4), o=L(4, 3)), 4, 3),
    ),
    "2 → 6 → 6 → 1, skip": (Net(skip, a=L(2, 6), b=L(6, 6), c=L(6, 1)), 2, 1),
    "4 → 1 | 1 | 1 | 1 → 3 → 3 → 3 → 3 → 1, shared weights": (
        *(Net(recurrent(4), h=L(3, 3), i=L(1, 3), o=L(3, 1)), 4, 1),
    ),
    "2 → 5 → 3 | 3 → 3": (Net(gated, a=L(2, 5), b=L(5, 3), g=L(5, 3)), 2, 3),
    "4-4-4, shared weights": (Net(lambda net, x: net.w(tg.tanh(net.w(x))), w=L(4, 4)), 4, 4),
}


def drawn(title: str) -> tuple[Any, Any, Any]:
    """Return a step that trains the network of this title."""
    model, width, outputs = NETWORKS[title]
    return step_of(model, nn.MSELoss(), *batch(16, width, outputs))


@pytest.mark.parametrize("title", NETWORKS)
def test_the_network_is_that_of_the_graph(show: Any, title: str):
    program = drawn(title)
    assert title_of(program) == title
    page = show(*program)
    assert page.inner_text("h1").startswith(title)
    page.evaluate("move(steps.length - 1)")
    assert page.locator("#network-svg .skip").count() == title.endswith("skip")
    colours = page.evaluate("new Set(all('.edge[style]').map((n) => n.style.stroke)).size")
    assert bool(colours) == ("shared" in title)


def clip(norm: float) -> Any:
    """Return a function that clips the gradients of a model."""
    return lambda model: nn.utils.clip_grad_norm_(model.parameters(), norm)


def heads(net: Any, x: Any) -> Any:
    h = tg.tanh(net.a(x))
    return net.c(h), net.r(h)


def cost_of_heads(z: Any, y: Any) -> Any:
    return nn.CrossEntropyLoss()(z[0], (y[:, 0] > 0).long()) + nn.MSELoss()(z[1], y)


def adversarial() -> Any:
    """A step of a generator and a discriminator, of two optimizers."""
    made, real = nn.Sequential(L(2, 4), nn.Tanh(), L(4, 2)), nn.Sequential(L(2, 3), L(3, 1))
    first, second = (optim.Adam(model.parameters()) for model in (real, made))
    criterion = nn.BCEWithLogitsLoss()

    @tg.compile(backend="numpy")
    def step(z: Any, x: Any) -> Any:
        real.zero_grad()
        fakes, cost = made(z), criterion(real(x), tg.ones(8, 1))
        (cost + criterion(real(fakes.detach()), tg.zeros(8, 1))).backward()
        first.step()
        made.zero_grad()
        cost = criterion(real(fakes), tg.ones(8, 1))
        cost.backward()
        second.step()
        return cost

    x, y = batch(8, 2, 2)
    step(x, y)
    return step, x, y


def test_several_outputs_targets_that_are_inputs_and_two_models_have_their_network():
    both = Net(heads, a=L(4, 5), c=L(5, 3), r=L(5, 1))
    x = tg.rand(8, 5)
    for program, title in (
        (step_of(both, cost_of_heads, *batch(8, 4, 1)), "4 → 5 → 3 | 1"),
        (step_of(nn.Sequential(L(5, 2), L(2, 5)), nn.MSELoss(), x, x), "5-2-5"),
        (adversarial(), "2-4-2-3-1"),
        (training(**README), "1-8-5-3-1"),
    ):
        assert title_of(program) == title
        lesson = lesson_of(program)
        known = {v: symbol.plain for v, symbol in symbols(lesson).items()}
        assert [*known.values()].count("x") == 1
        assert "ŷ" not in known.values() or "|" not in title
        parts = [s for s in lesson.steps() if known.get(s["writes"], "").startswith("part of")]
        assert not any(step["formulas"] for step in parts)
        assert not parts or title != "1-8-5-3-1"  # momentum adds no gradients
        data = _data(lesson, network(lesson))
        assert data["threshold"] is None  # y is no class
        assert data["has_one_cost"] == data["has_target"] == (title != "2-4-2-3-1")


@pytest.mark.parametrize(
    "loss",
    [
        nn.PoissonNLLLoss(),
        lambda z, y: tg.nn.functional.softplus(z - y).mean() + z.exp().mean(),
        lambda z, y: nn.MSELoss()(z, y).sqrt(),
    ],
)
def test_functions_of_a_loss_are_no_activations(loss: Any):
    for step in lesson_of(step_of(L(3, 2), loss, *batch(8, 3, 2))).steps():
        assert step["title"] != "Layer 1: activation"
        assert {2, 13}.isdisjoint(step["formulas"])


@pytest.mark.parametrize("count", [6, 12])
def test_long_loops_are_folded(show: Any, count: int):
    model = Net(recurrent(count), h=L(3, 3), i=L(1, 3), o=L(3, 1))
    program = step_of(model, nn.MSELoss(), *batch(8, count, 1))
    hidden = count - 4
    assert title_of(program).endswith(f"3 → 3 → 3 → 3 → 1, shared weights, {hidden} layers folded")
    page = show(*program)
    folded = page.locator("#network-svg .all title", has_text="with the same weights")
    assert folded.text_content() == f"{hidden} layers more, with the same weights"


def test_the_graph_is_shown_where_a_drawing_would_not_be_true(show: Any):
    page = show(*step_of(L(3, 2), nn.MSELoss(), tg.randn(5, 6, 3), tg.randn(5, 6, 2)))
    assert page.is_visible("#graph svg")
    assert page.is_hidden("#network-tab")


@pytest.mark.parametrize(
    ("criterion", "outputs", "classes", "words"),
    [
        (nn.MSELoss(reduction="sum"), 2, 0, "not averaged"),
        (nn.MSELoss(), 2, 0, "averaged over all 16 numbers, which are 8 samples"),
        (nn.MSELoss(reduction="batchmean"), 2, 0, "averaged over the 8 samples"),
        (nn.CrossEntropyLoss(), 3, 3, "The mean over the 8 samples is (6)"),
        (nn.CrossEntropyLoss(), 3, 3, "else 0; divided by 8. No derivative"),
        (nn.CrossEntropyLoss(reduction="sum"), 3, 3, "All are added up"),
        (nn.CrossEntropyLoss(weight=tg.tensor([1.0, 2.0, 3.0])), 3, 3, "later steps weigh"),
        (nn.CrossEntropyLoss(label_smoothing=0.1), 3, 3, "of each class, times its target"),
        (nn.BCEWithLogitsLoss(), 2, 0, "times 0.0625"),
    ],
    ids=str,
)
def test_sentences_say_how_a_loss_is_reduced(
    criterion: Any, outputs: int, classes: int, words: str
):
    program = step_of(L(4, outputs), criterion, *batch(8, 4, outputs, classes))
    assert words in " ".join(step["sentence"] for step in lesson_of(program).steps())


def test_what_is_computed_from_gradients_is_no_forward_step():
    class Square(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * g

    net = Net(lambda net, x: net.b(Square.apply(net.a(x))), a=L(2, 4), b=L(4, 1))
    program = step_of(net, nn.MSELoss(), *batch(8, 2, 1), before=clip(1))
    phases = [step["phase"] for step in lesson_of(program).steps()]
    assert phases == sorted(phases, key=["forward", "backward", "update"].index)
    w = tg.tensor([1.0], requires_grad=True)
    assert "argument 1" not in str(viz.graph(Square.apply(w).sum()))


def test_clipped_gradients_and_groups_train_as_in_python(show: Any):
    model = nn.Sequential(L(2, 4), nn.Tanh(), L(4, 1))
    groups = [{"params": model[0].parameters(), "lr": 0.2}, {"params": model[2].parameters()}]
    step, x, y = program = step_of(
        model,
        nn.MSELoss(),
        *batch(8, 2, 1),
        optimizer=optim.SGD(groups, lr=0.1),
        before=clip(0.5),
    )
    known = {symbol.plain for symbol in symbols(lesson_of(program)).values()}
    assert {"∂C/∂W⁽¹⁾", "changed ∂C/∂W⁽¹⁾"} <= known
    page = show(*program)
    gradients = page.evaluate("Object.values(data.gradients).map(plain)")  # which are checked
    assert "changed" not in " ".join(gradients)
    assert page.evaluate("data.missing") == []
    page.fill("#rate", "0.4")  # of the first group; that of the second follows
    assert page.evaluate("data.rates.map((k) => v[k].data[0])") == [0.4, 0.2]
    page.fill("#rate", "0.2")
    page.evaluate("train(20)")
    losses = [step(x, y).item() for _ in range(20)]
    np.testing.assert_allclose(page.evaluate("costs"), losses, 1e-10)


def enter(page: Any, k: str, element: int, number: str) -> str:
    """Type a number for a cell; return what is said of it."""
    page.evaluate(f"pin({k}, {element}); $('editor').select()")
    page.keyboard.type(number)
    page.keyboard.press("Enter")
    page.evaluate("idle()")  # the answer is drawn in a later frame
    return str(page.inner_text("#cell"))


def test_numbers_that_the_program_refuses_are_refused(show: Any):
    page = show(**CLASSIFIER, batch=12)
    page.evaluate("go(stepNamed('Cross entropy'))")
    before = page.evaluate("v[data.y].data[3]")
    assert "77 is refused: index 77 is out of range" in enter(page, "data.y", 3, "77")
    assert "0.5000 is refused: these are whole numbers" in enter(page, "data.y", 3, "0.5")
    assert page.evaluate("v[data.y].data[3]") == before
    assert "refused" not in enter(page, "data.y", 3, "1")
    model = nn.Sequential(nn.Embedding(10, 4), L(4, 3))
    x, y = tg.randint(0, 10, (12,)), tg.randint(0, 3, (12,))
    page = show(*step_of(model, nn.CrossEntropyLoss(), x, y))
    assert "99 is refused" in enter(page, "data.x", 2, "99")


@pytest.mark.parametrize("kind", ["dropout", "alpha dropout"])
def test_the_decision_region_has_no_dropout(show: Any, kind: str):
    page = show(sizes=[2, 6, 1], between=kind, loss="logits")
    heads = page.text_content("#network-svg")
    assert ("layer 1: dropout" in heads) == (kind == "dropout")
    rows = "outputFor(array([5, 2], Array(5).fill([0.3, 0.7]).flat())).data"
    assert page.evaluate(f"new Set({rows}).size") == 1


@pytest.mark.parametrize("layer", [nn.Dropout, nn.AlphaDropout, lambda: nn.BatchNorm1d(6)])
def test_evaluation_is_that_of_the_model(show: Any, layer: Any):
    model = nn.Sequential(L(2, 6), layer(), nn.Tanh(), L(6, 1))
    step, x, y = program = step_of(model, nn.MSELoss(), *batch(8, 2, 1))
    page = show(*program)
    page.evaluate("train(5)")
    for _ in range(5):
        step(x, y)
    page.click("#evaluation")
    with tg.no_grad():
        cost = nn.MSELoss()(model.eval()(x), y).item()
    assert page.evaluate("cost()") == pytest.approx(cost, rel=1e-9)
    page.evaluate("go(Number(Object.keys(data.evaluation).map((k) => stepOf(Number(k)))[0]))")
    assert "In evaluation" in page.inner_text("#rule")
    tree = "expand(graph[steps[at].writes], 3, knownFor(steps[at].writes, steps[at])).number"
    assert page.evaluate(tree) == page.evaluate("v[steps[at].writes].data[3]")
    page.evaluate("go(stepNamed('Derivative of the cost'))")  # which is that of training
    assert page.get_attribute("#evaluation", "aria-pressed") == "false"


def test_right_gradients_agree_within_the_error_to_expect(show: Any):
    page = show(sizes=[2, 4, 3], **ADAM, activation="tanh")
    wrong = page.evaluate("""() => Object.entries(data.gradients).flatMap(([k, gradient]) =>
      [...v[gradient].data.keys()].filter((element) => {
        const wanted = { k: Number(k), element, h: 1e-5 };
        finished(checking(wanted));
        return Math.abs(wanted.number - v[gradient].data[element]) > wanted.error;
      }))""")
    assert wrong == []


@pytest.mark.parametrize("title", [*NETWORKS][2:])
def test_paths_lead_through_skips_gates_and_shared_weights(show: Any, title: str):
    page = show(*drawn(title))
    for is_whole, total, gradient in page.evaluate("""() => weightLinks.map(({ weight: k }) => {
      pinned = { k, element: 1 };
      const [own] = tracedWeight();
      const part = (b) => {
        sample = b;
        return pathsOf(own, 1)[0].reduce((sum, { product }) => sum + product, 0);
      };
      const total = [...Array(samples).keys()].reduce((sum, b) => sum + part(b), 0);
      return [pathsOf(own, 1)[1], total, v[data.gradients[k]].data[1]];
    })"""):
        assert is_whole
        assert total == pytest.approx(gradient, rel=1e-9, abs=1e-12)


def test_it_opens_on_the_fit_and_its_address_comes_back(show: Any, chromium: Any):
    page = show(**README)
    page.goto(page.url.split("#")[0])
    page.reload()
    page.evaluate("slice = 60000; idle()")
    assert page.is_visible("#opening #fit")
    assert page.is_hidden("#cost")
    assert page.is_hidden("#arrays")
    page.evaluate("train(3)")
    assert page.is_visible("#opening #cost")
    page.click("#reset")
    page.click("#begin")
    assert page.is_visible("#arrays")
    enter(page, "Number(Object.keys(data.gradients)[0])", 2, "0.75")
    page.evaluate("chooseSample(7)")
    address, cost = page.evaluate("[location.href, cost()]")
    assert "set=2,2,0.75" in address
    again = chromium.new_page()
    again.add_init_script("let n = 0; performance.now = () => n++")  # eight instructions a frame
    again.goto(address)
    again.evaluate("idle()")
    assert again.evaluate("[cost(), sample, at]") == [cost, 7, page.evaluate("at")]
    assert again.evaluate("pinned") == page.evaluate("pinned")
    weights = page.evaluate("exportWeights($('export')), decodeURIComponent($('export').href)")
    page.evaluate("text => importWeights(JSON.parse(text))", weights.split(",", 1)[1])
    assert "8 of 8 arrays fit" in page.inner_text("#note")


def test_tours_ask_and_reveal(show: Any):
    page = show(**CLASSIFIER)
    names = page.eval_on_selector_all("#tours option", "nodes => nodes.map(n => n.value)")
    assert len(names) >= 4
    page.select_option("#tours", "Softmax with cross entropy")
    asked = []
    while page.is_visible("#tour"):
        for summary in page.locator("#tour summary:visible").all():
            summary.click()
        asked.append(page.inner_text("#tour"))
        page.click("#tour-next")
    assert len(asked) == 6  # five questions, and the end
    assert "log k" in "".join(asked)


def test_phones_have_large_cells_and_a_sheet(show: Any):
    page = show(**CLASSIFIER, width=390)
    box = page.locator(".result td[data-at]").first.bounding_box()
    assert min(box["height"], box["width"]) >= 24
    page.click(".result td[data-at] >> nth=0")
    sheet = page.locator("#cell").bounding_box()
    assert sheet["y"] + sheet["height"] == pytest.approx(900, abs=2)


def test_print_keeps_title_and_colours(show: Any):
    page = show(**CLASSIFIER)
    cell = page.locator(".result td[data-at]").first
    before = cell.evaluate("node => node.style.background")
    page.emulate_media(media="print")
    assert page.is_visible("h1")
    assert page.is_hidden("#next")
    style = "node => [getComputedStyle(node).printColorAdjust, node.style.background]"
    assert cell.evaluate(style) == ["exact", before]


def test_enter_keeps_the_focus(show: Any):
    page = show(**README)
    page.focus("#network-svg .neuron >> nth=3")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.classList.contains('neuron')")
    page.evaluate("go(stepNamed('Layer 2: weighted sums')); pin(steps[at].writes, 0)")
    page.focus("#cell a >> nth=0")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.e !== undefined")


def test_names_of_dead_models_are_not_given_to_others():
    with viz.record(L(3, 3)):  # which is freed here
        pass
    others = [tg.randn(3, 3).requires_grad_() for _ in range(50)]
    assert not any("weight" in str(viz.graph((x * 2).sum())) for x in others)


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW"])
def test_the_averages_of_adam_are_shown_corrected(optimizer: str):
    lesson = lesson_of(training([2, 3, 1], optimizer=optimizer))
    known = {v: symbol.plain for v, symbol in symbols(lesson).items()}
    corrected = [step for step in lesson.steps() if "corrected" in step["title"]]
    assert len(corrected) == 4
    for step in corrected:
        averages = [k for k in step["reads"] if known[k] != "t"]
        corrections = *step["between"], step["writes"]
        for average, k, beta in zip(averages, corrections, (0.9, 0.999), strict=True):
            assert known[k][0] == known[average][0]
            assert "\N{COMBINING CIRCUMFLEX ACCENT}" in known[k]
            expected = lesson.arrays[average] / (1 - beta**2)
            np.testing.assert_allclose(lesson.arrays[k], expected, rtol=1e-14)
    for step in lesson_of(training([2, 3, 1], optimizer="RMSprop")).steps():
        assert "corrected" not in step["title"]


def test_one_notation_names_output_target_and_sums():
    lesson = lesson_of(training([2, 3, 1], between="residual"))
    known = {key: symbol.plain for key, symbol in symbols(lesson).items()}
    assert {"x", "y", "ŷ", "∂C/∂ŷ", "h_1"} <= {*known.values()}
    assert known[lesson.output] == "ŷ"
    every = " ".join(texts(lesson_of(training([2, 3, 1], between="norm", optimizer="Adam"))))
    assert not re.search("step_array|total_1", every)


def test_a_weight_decay_and_shared_bool_are_written_out():
    decayed = lesson_of(training([1, 2, 1], optimizer="nesterov")).steps()[-1]
    assert "Weight decay: 0.001" in decayed["sentence"]
    model = Net(gated, a=L(2, 5), b=L(5, 3), g=L(5, 3))
    written = texts(lesson_of(step_of(model, nn.MSELoss(), *batch(8, 2, 3))))
    assert "equal" not in " ".join(written)
