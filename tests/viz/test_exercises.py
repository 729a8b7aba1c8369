"""The exercises of the course on the site: what is typed is checked as in the notebook."""

import re
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "examples/course").glob("*.py"))
EXERCISES = runpy.run_path(str(ROOT / "docs/exercises.py"))
conditions, form = EXERCISES["conditions"], EXERCISES["form"]


def test_solutions_are_right_and_other_numbers_lead_to_a_step(chromium: Any):
    script = (ROOT / "docs/_static/site.js").read_text("utf-8")
    page = chromium.new_page()
    asked = {path.stem: conditions(path.read_text("utf-8")) for path in CHAPTERS}
    first = form(1, asked["01_neuron"][1], "", "01_neuron.ipynb")
    page.set_content(f"{first}<script>{script}</script>")
    for typed, said in (("6", "step 3: the sign."), ("\N{MINUS SIGN}6", "Right."), ("", "No ans")):
        page.fill("input", typed)
        page.press("input", "Enter")
        assert said in page.inner_text("output")
    count = 0
    for path in CHAPTERS:
        solutions = re.findall(r"^# answer = (.+)$", path.read_text("utf-8"), re.MULTILINE)
        for pairs, solution in zip(asked[path.stem].values(), solutions, strict=False):
            if pairs and re.fullmatch(r"[-\d./, ()\[\]e]+|\"\w+\"", solution):
                said = page.evaluate("(typed) => verdict(...typed)", [pairs, solution])
                assert said == "Right.", (path.stem, solution)
                count += 1
    assert count > 12


def test_what_needs_python_leads_to_the_notebook():
    for condition in ("lambda f: f(2) == 4", "lambda a: a is x", "known"):
        assert conditions(f"exercises({{1: [({condition}, 'step 1')]}})") == {1: None}
    assert 'href="x.ipynb"' in form(1, None, "", "x.ipynb")
