"""Ten questions each of a student, a PyTorch user and a teacher, and where the page answers them.

An answer is what one does, as JavaScript of the page, the selector where one looks, and what stands
there. A question without an answer is one that the page leaves open; at most three may be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from viz.steps import ADAM, CLASSIFIER, README, training
from viz.test_page_features import L, Net, batch, recurrent, skip, step_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Question(NamedTuple):
    """What somebody asks of the page of `program`, what they do, where they look, what they see."""

    text: str
    program: str = ""
    act: str = ""
    selector: str = ""
    answer: str = ""


def clipped() -> Any:
    model = nn.Sequential(L(2, 4), nn.Tanh(), L(4, 1))
    clip = nn.utils.clip_grad_norm_
    return step_of(model, nn.MSELoss(), *batch(8, 2, 1), before=lambda m: clip(m.parameters(), 0.1))


def relu() -> Any:
    model = nn.Sequential(L(2, 5), nn.ReLU(), L(5, 2))
    with tg.no_grad():
        model[0].bias[1:4] = -100.0
    return step_of(model, nn.MSELoss(), *batch(8, 2, 2))


PROGRAMS: dict[str, Callable[[], Any]] = {
    "readme": lambda: training(**README),
    "classifier": lambda: training(**CLASSIFIER, batch=12),
    "logits": lambda: training([2, 4, 1], loss="logits", activation="tanh"),
    "norm": lambda: training([2, 6, 1], between="norm", loss="logits"),
    "adam": lambda: training([2, 3, 3], **ADAM),
    "relu": relu,
    "clipped": clipped,
    "skip": lambda: step_of(
        Net(skip, a=L(2, 6), b=L(6, 6), c=L(6, 1)), nn.MSELoss(), *batch(16, 2, 1)
    ),
    "shared": lambda: step_of(
        Net(recurrent, h=L(3, 3), i=L(1, 3), o=L(3, 1)), nn.MSELoss(), *batch(16, 4, 1)
    ),
}


def at(title: str) -> str:
    """Return the script that shows a step."""
    return f"go(stepNamed('{title}'));"


PIN = "pin(steps[at].writes, 3);"
STUDENT = [
    Question("What does a neuron compute?", "readme", at("weighted"), "#rule", "its weight"),
    Question("Which numbers make this one?", "readme", at("weighted") + PIN, "#cell", "W"),
    Question("Why is a bias gradient a sum?", "readme", at("biases"), "#rule", "sum of d"),
    Question(
        "What is d?",
        "readme",
        "showTab($('derivation-tab'))",
        "#derivation",
        r"d\(l\) = ∂C/∂z\(l\)",
    ),
    Question(
        "Why does the first layer learn slowly?",
        "readme",
        at("Layer 1: gradient of the weights") + PIN + "toggle($('path-on'))",
        "#path",
        "All 15 paths",
    ),
    Question(
        "What does the cost do if I change a weight?",
        "readme",
        "compute(changing(Number(Object.keys(data.gradients)[0]), 0, 0.3))",
        "#edited",
        "ΔC",
    ),
    Question("Which way does a weight move?", "logits", at("SGD"), "#rule", "against its gradient"),
    Question(
        "What if the learning rate is too large?",
        "logits",
        "$('rate').value = 1e308; compute(recomputing(rateChange())); train(50)",
        "#trained",
        "lower the learning rate",
    ),
    Question("What is the network to learn?", "readme", "openFit(true)", "#opening", "should"),
    Question(
        "Where is the derivative of softmax?",
        "classifier",
        at("Derivative of the cost"),
        "#rule",
        "No derivative of an activation remains",
    ),
]
USER = [
    Question(
        "Which line does this step run?",
        "readme",
        at("SGD"),
        "#program .lit",
        "weight_momentum_buffer_0",
    ),
    Question(
        "Is this gradient right?",
        "logits",
        at("Layer 1: gradient of the weights") + PIN + "toggle($('check-on'))",
        "#check-result",
        "They agree",
    ),
    Question(
        "What does the graph save?", "relu", "toggle($('memory-on'))", "#memory", "56 numbers"
    ),
    Question("What does zero_grad clear?", "relu", "toggle($('memory-on'))", "#memory", "Cleared"),
    Question("How many ReLUs are dead?", "relu", at("activation"), "#rule", "3 of 5 neurons"),
    Question(
        "What does eval() change?",
        "norm",
        "evaluate(true);" + at("normalised"),
        "#rule",
        "running statistics",
    ),
    Question(
        "Is the loss a mean over samples or elements?",
        "relu",
        at("Cost of the batch"),
        "#rule",
        "all 16 numbers, which are 8 samples",
    ),
    Question("What are m̂ and v̂ of Adam?", "adam", at("corrected"), "#rule", "too small at first"),
    Question("Where are gradients clipped?", "clipped", at("from"), "#rule", "as clipping does"),
    Question("How long does each op take?"),
]
TEACHER = [
    Question(
        "Are numbers large enough for a projector?",
        "classifier",
        at("weighted") + "toggle($('lecture'))",
        ".array.result td[data-at]",
        "",
    ),
    Question("May I link to this cell?", "readme", at("biases") + PIN, "URL", "step=.*b=.*cell="),
    Question(
        "Is there something to ask the class?",
        "classifier",
        "startTour('Softmax with cross entropy')",
        "#tour",
        r"1 of 5: .*\?",
    ),
    Question(
        "Is the notation that of the course?",
        "readme",
        "showTab($('derivation-tab'))",
        "#derivation",
        "in the course ω",
    ),
    Question(
        "Which formula of the derivation is this?",
        "readme",
        "showTab($('derivation-tab'));" + at("Layer 2: gradient of the weights"),
        "#derivation .lit .number",
        r"\(37\)",
    ),
    Question("Can it play by itself?", "readme", "play()", "#play[aria-pressed=true]", "Play"),
    Question("What separates the classes?", "classifier", "openFit(true)", "#opening", "Train"),
    Question("Where do two paths add up?", "skip", at("sum of gradients"), "#rule", "are added"),
    Question("Is a shared weight seen as one?", "shared", "", "h1", "shared weights"),
    Question(
        "Can learners type answers that are checked?",
        "classifier",
        "startTour('Adam\\'s corrections'); $('guess').value = '0.1'; checkGuess($('guess'))",
        "#tour",
        "0.1000 is right",
    ),
]
QUESTIONS = [*STUDENT, *USER, *TEACHER]


def test_of_thirty_questions_three_may_be_open():
    assert [len(part) for part in (STUDENT, USER, TEACHER)] == [10, 10, 10]
    assert len({question.text for question in QUESTIONS}) == 30
    assert sum(bool(question.program) for question in QUESTIONS) >= 27


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_answers_questions(show: Callable[..., Any], program: str):
    expect = pytest.importorskip("playwright.sync_api").expect
    compiled = PROGRAMS[program]()
    for question in (q for q in QUESTIONS if q.program == program):
        page = show(*compiled, width=1280)
        page.evaluate(f"{{ {question.act} }}; idle()")
        if question.selector == "URL":
            assert re.search(question.answer, page.url), question.text
            continue
        node = page.locator(question.selector).first
        expect(node, question.text).to_be_visible()
        assert re.search(question.answer, node.inner_text()), (question.text, node.inner_text())
        if question.program == "classifier" and question.answer == "":
            assert node.bounding_box()["height"] >= 24
