"""Every chapter of the course runs; `check` takes the solutions, and finds mistakes."""

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

CHAPTERS = sorted((Path(__file__).parents[1] / "examples/course").glob("[0-9]*.py"))

# Answers that learners give, which `check` refuses, by chapter and exercise.
MISTAKES_TEXT = """
00_slope 1: 4 | 17 | 22
00_slope 2: lambda f, w: f(w + 1e-5) - f(w - 1e-5) | lambda f, w: (f(w + 1e-6) - f(w)) / 1e-6
  | lambda f, w: (f(w + 0.01) - f(w - 0.01)) / 0.02
01_neuron 1: -3 | 6 | 0
01_neuron 2: (1, 1, -1) | ([10, 10], 0) | ([10, 10], -5) | ([4, 4], -6.3)
02_network 1: 66 | 17 | 84 | 100
02_network 2: (weights[0], biases[0]) | ([[1.0]], [[0.0]]) | (linear_only(1) - linear_only(0), 0)
03_cost 1: [0.5, 0.5] | [1, 1, 1] | [1 / 3, 1 / 3, 1 / 3] | [0.3, 0.3, 0.4]
03_cost 2: (3, ShapeError) | (5, ShapeError) | (9, ValueError)
04_output_layer 1: 1
04_output_layer 2: lambda y: y | lambda y: y * (1 - y) | lambda y: 1 - np.tanh(y) ** 2
05_recurrence 1: (1, 0.25) | (0, 0.5) | (0, 1)
05_recurrence 2: ds[2] | np.sum(ds[1][:, 0] * network.weights[1][:, 0]) | 0.0
06_gradient_descent 1: 0.4 | 0.1 | 1
06_gradient_descent 2: lambda slope, w, rate, number: [w]
  | lambda slope, w, rate, number: [w, w + rate * slope(w), w, w]
  | lambda slope, w, rate, number: [w - k * rate * slope(w) for k in range(number + 1)]
  | lambda slope, w, rate, number: [w] * (number + 1)
07_one_backward_pass 1: 203_264 | 101_771 | 1570
07_one_backward_pass 2: (83, 124) | (66, 132) | (66, 58)
08_softmax 1: [1, 2] | [1, 2, 5] | [0.2, 0.3, 0.5]
08_softmax 2: lambda z, t: np.exp(z).sum() - z[t] | lambda z, t: np.log(np.exp(z).sum()) - z[1]
  | lambda z, t: np.log(np.exp(np.minimum(z, 700)).sum()) - z[t]
  | lambda z, t: np.log(np.exp(z - z[0]).sum()) - z[t] + z[0]
09_initialisation 1: 25 | 50 | 10
09_initialisation 2: lambda n, m: np.ones((n, m)) | lambda n, m: np.ones((m, n))
  | lambda n, m: np.random.default_rng(0).standard_normal((m, n)) / n**0.5
  | lambda n, m: np.random.default_rng(0).standard_normal((m, n))
10_test_data 1: 990 | best | 500
10_test_data 2: lambda n, share: (range(n), range(5))
  | lambda n, share: (list(range(40)), list(range(10)))
  | lambda n, share: (list(range(40)), list(range(40, 50)))
11_tape 1: lambda a, b: a + b | lambda a, b: Value(a.data - b.data)
  | lambda a, b: Value(a.data - b.data, ((a, 1.0), (b, 1.0)))
11_tape 2: 3.0 | 9.0
12_order 1: (2047, 2047) | (1024, 11) | (10, 11)
12_order 2: ('right',) | ('right', 'right', 'right') | ('RecursionError', 'right', 'wrong')
13_tensors 1: 'both' | 'sum'
13_tensors 2: lambda g, x: g / x.size | lambda g, x: np.full(x.shape, g)
  | lambda g, x: np.full(x.shape, 1 / x.size)
14_own_op 1: lambda g, out, x: logistic(x) + x * logistic(x) * (1 - logistic(x))
  | lambda g, out, x: g * logistic(x) * (1 - logistic(x)) | lambda g, out, x: g * logistic(x)
14_own_op 2: 'perhaps' | 'yes'
15_second_derivatives 1: [10, 6] | [[30, 6], [6, 0]] | [[10, 6], [9, 0]] | [[10, 5], [5, 0]]
15_second_derivatives 2: 0 | [[0, 0], [0, 0]] | [[0, 1], [1, 0]] | [[3, 3], [3, 3]]
16_program 1: [] | list(zip(x.numpy(), target.numpy())) | [pair[::-1] for pair in answer]
16_program 2: 1 | 3
17_learning 1: 1 / 2 | 1 / 4 | 1
17_learning 2: -0.1 | 100
18_momentum_and_adam 1: 0.2 | 20
18_momentum_and_adam 2: lambda gs, beta: sum((1 - beta) * beta**k * g
  for k, g in enumerate(reversed(gs)))
  | lambda gs, beta: sum(gs) / len(gs)
19_shared_weights 1: 6 | 3
19_shared_weights 2: lambda d, x: np.outer(d, x) | lambda d, x: np.array([d @ x[:5]] * 3)
20_rules_by_hand 1: lambda G, A, B: (A.T @ G, G @ B.T) | lambda G, A, B: (0 * A, A.T @ G)
20_rules_by_hand 2: (1, 0, 5) | (-2, -3, 5) | (1, -3, -3)
"""
MISTAKES = {
    exercise: [answer.strip() for answer in answers.replace("\n", "").split(" | ")]
    for exercise, answers in re.findall(r"^(\w+ \d): (.*(?:\n  .*)*)", MISTAKES_TEXT, re.MULTILINE)
}


def cells(chapter: Path) -> list[tuple[str, str]]:
    """Return the first line and the text of each cell of a script in the percent format."""
    parts = re.split(r"^# %%(.*)\n", chapter.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def solution(markdown: str) -> str:
    """Return the code of the folded solution of a Markdown cell; "" if there is none."""
    text = re.sub(r"^# ?", "", markdown, flags=re.MULTILINE)
    folded = re.search(r"<details>.*?```python\n(.*?)```\n\n</details>", text, flags=re.DOTALL)
    return folded[1] if folded else ""


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(
    chapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    text = chapter.read_text(encoding="utf-8")
    assert text.startswith(f'# %% [markdown]\n"""\n# {int(chapter.stem[:2])}. ')
    assert "\nAfterwards you can" in text
    assert re.search(r"^\*Time to read: \d+ minutes\.\*$", text, flags=re.MULTILINE)
    assert text.count("# **Next:** ") == 1

    names: dict[str, Any] = {"__name__": chapter.stem}
    number, hints = 0, set()
    for head, cell in cells(chapter):
        if "[markdown]" not in head:
            # At the lines of the file, from which `inspect` reads the source of functions.
            before = "\n" * text[: text.index(cell)].count("\n")
            exec(compile(before + cell, chapter, "exec"), names)  # noqa: S102
            continue
        if not (code := solution(cell)):
            continue
        number += 1
        assert f"Exercise {number}: no answer yet" in capsys.readouterr().out
        exec(compile(code, f"solution {number}", "exec"), names)  # noqa: S102
        for answer in MISTAKES[f"{chapter.stem} {number}"]:
            capsys.readouterr()
            names["check"](number, eval(answer, names))  # noqa: S307
            output = capsys.readouterr().out
            assert "Look again at step" in output, answer
            hints.add(re.search(r"(step .*?)( \(\w+: .*)?\.\n", output, flags=re.DOTALL)[1])
        names["check"](number, names["answer"])
        assert f"Exercise {number}: right." in capsys.readouterr().out
    plt.close("all")
    assert number == sum(key.startswith(chapter.stem) for key in MISTAKES)
    (conditions,) = (cell for head, cell in cells(chapter) if "remove-cell" in head)
    constants = (
        node.value for node in ast.walk(ast.parse(conditions)) if isinstance(node, ast.Constant)
    )
    assert hints == {text for text in constants if str(text).startswith("step ")}


def test_the_chapters_are_in_order():
    assert [int(path.stem[:2]) for path in CHAPTERS] == list(range(len(CHAPTERS)))
    for before, after in pairwise(CHAPTERS):
        bridge = before.read_text(encoding="utf-8").partition("# **Next:**")[2]
        number = int(after.stem[:2])
        assert re.search(rf"[cC]hapter\s(#\s)?{number}\b", bridge), before.stem
