// One cell: its computation, the step of a factor, another number in its place, the check of a
// gradient. Pointing previews; a click, or the focus, holds.

let trail = [];             // where clicks on factors came from
let litCells = new Set();   // "k,element" of the sources of the shown cell
let edited = null;          // what the last change did to the cost
let quotient = null;        // the last one: {k, element, h, values, number, error}
let refused = null;         // a number that the program refuses: {k, element, number, why}
const edits = new Map();    // numbers since the last Reset, by "k,element"

const isEditable = (k) => (
  canRun && data.values[k] && !data.values[k].state && data.labels[k] !== undefined);
const isCell = (here, k, element) => here !== null && here.k === k && here.element === element;

// The computation

const isOfSample = (tree) => leavesOf(tree).some((x) => sampleOf(x.cell, x.element) === sample);

function termHtml(tree, most, isChosen) {
  const style = most ? ` style="--share:${colour(tree.number, most)}"` : "";
  const symbols = leavesOf(tree).length ? `<span>${written(tree, false)}</span>` : "";
  return `<span class="term${isChosen ? " chosen" : ""}"${style}>${symbols}<span>${
    written(tree, true)}</span></span>`;
}

function sumHtml({ args }) {
  const most = Math.max(...args.map((x) => Math.abs(x.number)));
  const rows = new Set(args.flatMap(leavesOf).map((x) => sampleOf(x.cell, x.element)));
  const isChosen = (x) => rows.size > 2 && isOfSample(x);
  const shown = new Set(shownTerms(args, isChosen)), rest = args.filter((x) => !shown.has(x));
  const parts = [...shown].map((x) => termHtml(x, most, isChosen(x)));
  if (rest.length) {
    parts.push(`<span class="term"><span>${rest.length} smaller terms</span><span>${
      text(total(rest))}</span></span>`);
  }
  return parts.join(" + ");
}

function* showCell() {
  const here = hovered ?? pinned, held = pinned && cellNode(pinned);
  if (document.activeElement?.id !== "editor") {  // else a number is being typed
    litCells = new Set();
    $("hint").hidden = here !== null;
    $("computation").innerHTML = here ? computationOf(here) : "";
  }
  for (const cell of all('#arrays td[tabindex="0"]')) cell.tabIndex = -1;
  Object.assign(held ?? document.querySelector(".result td[data-e]") ?? {}, { tabIndex: 0 });
  for (const node of $("arrays").children) {
    const { k } = node.box;
    for (const { classList, dataset: { e } } of all("td[data-e]", node)) {
      classList.toggle("here", isCell(here, k, Number(e)));
      classList.toggle("from", litCells.has(`${k},${e}`));
    }
  }
  yield;
  showCheck(here);
  showPath();
  yield;
  showNetwork();
}

function computationOf({ k, element }) {
  const tree = expand(graph[k], element, knownFor(k, steps[at])), isLeaf = tree.cell === k;
  const name = symbol(k, indices(k, element)), number = v[k].data[element];
  if (!isLeaf) litCells = new Set(leavesOf(tree).map((x) => `${x.cell},${x.element}`));
  const gradient = data.gradients[k], linked = (x) => written(leafOf(x, element), true);
  const origin = gradient === undefined ? "an input of the step"
    : `∂C/∂${name} = ${linked(gradient)}`;
  const after = newOf[k] === undefined ? "" : `; after the update ${linked(newOf[k])}`;
  const isRefused = isCell(refused, k, element);
  const note = isRefused ? `<em role="alert">${text(refused.number)} is refused: ${
    escaped(refused.why)}.</em>` : `${origin}${after}. Type another number, and Enter.`;
  const field = `<input id="editor" type="number" step="any" required value="${number}" `
    + `aria-label="${plain(k)}, new number" aria-invalid="${isRefused}"> <span>${note}</span>`;
  const terms = tree.op === "sum" ? sumHtml(tree) : termHtml(tree, 0, false);
  const how = isLeaf ? "" : ` = ${terms}`;
  const value = isLeaf && isEditable(k) ? field : `<b class="value">${text(number)}</b>`;
  return `<b>${name}</b>${how} = ${value}`;
}

const cellNode = ({ k, element }) => (
  document.querySelector(`.array[data-k="${k}"] td[data-e="${element}"]`));

function pin(k, element) {  // hold a cell, and its sample
  [pinned, hovered] = [{ k, element }, null];
  const b = sampleOf(k, element) ?? sample;
  if (b !== sample) chooseSample(b);
  else draw(showCell, ...(cellNode(pinned) ? [] : [showArrays]));  // another window of the array
  writeAddress();
}

function chooseSample(b) {
  sample = clamped(b, 0, samples - 1);
  if (pinned && sampleOf(pinned.k, 0) !== null) {  // the held cell moves along
    const width = widthOf(pinned.k);
    pinned.element = sample * width + (pinned.element % width);
  }
  draw(showArrays, showCell, showFit);
  writeAddress();
}

// Go to a cell in the step that computes it; to an input, or where `isNear`, in this step.
function visit(k, element, isNear) {
  const here = steps[at], near = [here, ...steps], isShown = isNear && here.reads.includes(k);
  const step = isShown ? here : near.find(({ between }) => between.includes(k))
    ?? steps[stepOf(k)] ?? near.find(({ reads }) => reads.includes(k)) ?? here;
  if (!isNear && step !== here) trail.push({ at, pinned });
  pinned = { k, element };
  go(steps.indexOf(step));
}

// Another number in the place of one

function* changing(k, element, number) {
  const before = cost(), old = v[k].data[element];
  const gradient = data.has_one_cost ? v[data.gradients[k]] : null;
  const slope = gradient ? gradient.data[element] : NaN, trial = v.slice();
  trial[k] = withNumber(v[k], element, number);
  const isWhole = !data.integers.includes(k) || Number.isInteger(number);
  const why = isWhole ? yield* refusing(trial) : "these are whole numbers";
  refused = why ? { k, element, number, why } : null;
  if (why) return request(showCell);
  edits.set(`${k},${element}`, number);
  yield* recomputing([[k, withNumber(v[k], element, number)]]);
  edited = { k, element, old, number, change: cost() - before, slope };
  return writeAddress();
}

function showEdit() {
  $("edited").hidden = !edited;
  if (!edited) return;
  const { k, element, old, number, change: by, slope } = edited, moved = number - old;
  const linear = `; gradient · Δ = (${text(slope)}) · (${text(moved)}) = <b>${
    text(slope * moved)}</b>; the rest, ${text(by - slope * moved, 3)}, is curvature`;
  const name = symbol(k, indices(k, element));
  $("edited").innerHTML = `<span>${name}: ${text(old)} → ${text(number)}: Δ<i>C</i> = <b>${
    text(by)}</b>${Number.isNaN(slope) ? "" : linear}.</span>`;
}

// The check of a gradient by a difference quotient

// The error to expect: of rounding C, and of the curve, by a quotient with twice the distance.
function* checking(wanted) {
  const { k, element, h } = wanted, epsilon = isRounded ? 1.2e-7 : 2.2e-16;
  wanted.number = yield* differing(k, element, h);
  const twice = yield* differing(k, element, 2 * h);
  const rounding = 8 * epsilon * (Math.abs(cost()) + Math.abs(v[k].data[element])) / h;
  wanted.error = rounding + Math.abs(twice - wanted.number);
  request(showCell);
}

function showCheck(here) {
  const { writes } = steps[at], k = parameterOf[writes], h = Number($("h").value);
  $("check").hidden = k === undefined || !data.has_one_cost || !canRun;
  $("check-result").textContent = isOn("check-on") ? "Point at a cell of the gradient." : "";
  if ($("check").hidden || !isOn("check-on") || here?.k !== writes || running) return;
  if (!isCell(quotient, k, here.element) || quotient.h !== h || quotient.values !== v) {
    quotient = { k, element: here.element, h, values: v };
    compute(checking(quotient));
  }
  $("check-result").textContent = "…";
  if (quotient.number === undefined) return;
  const own = v[writes].data[here.element], { number, error } = quotient;
  const difference = Math.abs(own - number), isRight = difference <= error;
  $("check-result").innerHTML = `<em>They ${isRight ? "agree" : "differ"}</em> difference ${
    text(difference, 2)}, expected ${isRight ? "up to" : "only"} ${text(error, 2)} by rounding and `
    + `h²<i class="break"></i> back-propagated <code>${text(own, 9)}</code> `
    + `(C(w+h) − C(w−h)) / 2h <code>${text(number, 9)}</code>`;
}

// Pointer and keyboard

function cellAt({ target }) {
  const cell = target.closest?.("#arrays td[data-e]") ?? null;
  return cell && { k: cell.closest(".array").box.k, element: Number(cell.dataset.e), cell };
}

function point(here) {
  if (here === null && hovered === null) return;
  hovered = here;
  draw(showCell);
}

function focusCell(event) {
  const here = cellAt(event);
  if (here && !isCell(pinned, here.k, here.element)) pin(here.k, here.element);
}

const ARROWS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

function moveCell({ k, element, cell }, [down, right]) {  // also beyond the window of a large array
  const { batch, width, n, m } = cell.closest(".array").box;
  const [i, j] = (cell.dataset.at ?? "0,0").split(",").map(Number);
  const [row, column] = [clamped(i + down, 0, n - 1), clamped(j + right, 0, m - 1)];
  const next = batch ? column * width + row : row * width + column;
  if (next === element) return;
  pin(k, next);
  cellNode(pinned)?.focus();
}

function edit(event) {
  const here = cellAt(event);
  if (!here || !isEditable(here.k)) return;
  event.preventDefault();
  pin(here.k, here.element);
  $("editor")?.select();
}

function acceptNumber(field) {
  if (!field.reportValidity()) return;
  field.blur();
  cellNode(pinned)?.focus();
  compute(changing(pinned.k, pinned.element, field.valueAsNumber));
}
