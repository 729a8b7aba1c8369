"""Questions of students, users of PyTorch and teachers, and where the page answers them."""

import re
from typing import Any

import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from viz.networks import ADAM, CLASSIFIER, README, step_of, training
from viz.test_page_features import L, batch, clip, drawn


def relu() -> Any:
    model = nn.Sequential(L(2, 5), nn.ReLU(), L(5, 2))
    with tg.no_grad():
        model[0].bias[1:4] = -100.0
    return step_of(model, nn.MSELoss(), *batch(8, 2, 2))


PROGRAMS: dict[str, Any] = {
    "readme": lambda: training(**README),
    "classifier": lambda: training(**CLASSIFIER, batch=12),
    "logits": lambda: training([2, 4, 1], loss="logits", activation="tanh"),
    "adam": lambda: training([2, 3, 3], **ADAM),
    "relu": relu,
    "clipped": lambda: step_of(L(2, 1), nn.MSELoss(), *batch(8, 2, 1), before=clip(0.1)),
    "skipping": lambda: drawn("2 → 6 → 6 → 1, skip"),
}


def at(title: str) -> str:
    """Return the script that shows a step."""
    return f"go(stepNamed('{title}'));"


DERIVATION, MEMORY = "showTab($('derivation-tab'))", "toggle($('memory-on'))"
PATHS = "pin(steps[at].writes, 3); toggle($('path-on'))"
GUESS = "startTour('Adam\\'s corrections'); $('guess').value = '0.1'; checkGuess($('guess'))"
# fmt: off
QUESTIONS: dict[str, tuple[str, str, str, str]] = {
    "What does a neuron compute?": ("readme", at("weighted"), "#rule", "its weight"),
    "Why is a bias gradient a sum?": ("readme", at("biases"), "#rule", "sum of d"),
    "What is d?": ("readme", DERIVATION, "#derivation", r"d\(l\) = ∂C/∂z\(l\)"),
    "Is the notation that of the course?": ("readme", DERIVATION, "#derivation", "in the course ω"),
    "Why does the first layer learn slowly?":
        ("readme", at("Layer 1: gradient of the weights") + PATHS, "#path", "All 15 paths"),
    "What is the network to learn?": ("readme", "openFit(true)", "#opening", "should"),
    "What separates the classes?": ("classifier", "openFit(true)", "#opening", "Train"),
    "Which way does a weight move?": ("logits", at("SGD"), "#rule", "against its gradient"),
    "What does the graph save?": ("relu", MEMORY, "#memory", "56 numbers"),
    "What does zero_grad clear?": ("relu", MEMORY, "#memory", "Cleared"),
    "How many ReLUs are dead?": ("relu", at("activation"), "#rule", "3 of 5 neurons"),
    "What are m̂ and v̂ of Adam?": ("adam", at("corrected"), "#rule", "too small at first"),
    "Where are gradients clipped?": ("clipped", at("from"), "#rule", "as clipping does"),
    "Where do two paths add up?": ("skipping", at("sum of gradients"), "#rule", "are added"),
    "Are numbers large enough for a projector?":
        ("classifier", at("weighted") + "toggle($('lecture'))", ".array.result td[data-at]", ""),
    "Can it play by itself?": ("readme", "play()", "#play[aria-pressed=true]", "Play"),
    "Can learners type answers that are checked?":
        ("classifier", GUESS, "#tour", "0.1000 is right"),
}
# fmt: on
"""A program, what one does, as JavaScript of its page, where one looks, and what stands there."""


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_answers_questions(show: Any, program: str):
    expect, compiled = pytest.importorskip("playwright.sync_api").expect, PROGRAMS[program]()
    for text, (asked, act, selector, answer) in QUESTIONS.items():
        if asked == program:
            page = show(*compiled, width=1280)
            page.evaluate(f"{{ {act} }}; idle()")
            node = page.locator(selector).first
            expect(node, text).to_be_visible()
            assert re.search(answer, node.inner_text()), (text, node.inner_text())
            assert "lecture" not in act or node.bounding_box()["height"] >= 24
