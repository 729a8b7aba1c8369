// Code and formulas that are wider than the screen can be scrolled with the keyboard.
for (const element of document.querySelectorAll("pre, math[display=block]")) {
  if (element.scrollWidth > element.clientWidth) element.setAttribute("tabindex", "0");
}

// Exercises whose answer is a number, a list of numbers, or a word: `docs/exercises.py` writes the
// conditions that `check` has in the notebook, with the step to look at where one fails.
const isClose = (a, b) => (Array.isArray(a) || Array.isArray(b)
  ? size(a) === size(b) && a.every((x, i) => isClose(x, b[i]))
  : Math.abs(a - b) <= 1e-8 + 1e-5 * Math.abs(b));
const isEqual = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const size = (a) => (Array.isArray(a) ? a.flat(Infinity).length : 1);
const shape = (a) => (Array.isArray(a) ? [a.length, ...shape(a[0])] : []);
const sum = (a) => [a].flat(Infinity).reduce((x, y) => x + y, 0);
const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const NAMES = { isClose, isEqual, size, shape, sum, sigmoid };

function parsed(text) {  // numbers, fractions, lists with or without brackets; else words
  const number = "-?[\\d.]+(?:e-?\\d+)?";
  const json = text.replaceAll("\u2212", "-").replaceAll(/[()]/g, (c) => (c === "(" ? "[" : "]"))
    .replaceAll(new RegExp(`(${number})\\s*/\\s*(${number})`, "g"), (_, a, b) => a / b);
  try {
    const list = JSON.parse(`[${json.replaceAll(/(^|[^\d])\./g, "$10.")}]`);
    return list.length === 1 ? list[0] : list;
  } catch {
    return text.trim().replaceAll(/["']/g, "");
  }
}

function verdict(conditions, text) {
  if (!text.trim()) return "No answer yet.";
  const answer = parsed(text);
  const holds = ([condition]) => {
    try {
      return new Function("answer", ...Object.keys(NAMES), `return ${condition}`)(
        answer, ...Object.values(NAMES));
    } catch {
      return false;
    }
  };
  const failed = conditions.find((pair) => !holds(pair));
  return failed ? `Not yet. Look again at ${failed[1]}.` : "Right.";
}

for (const form of document.querySelectorAll("form.exercise")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const conditions = JSON.parse(form.dataset.conditions);
    form.querySelector("output").textContent = verdict(conditions, form.querySelector("input").value);
  });
}
