"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const steps = data.steps;
const COLUMNS = 40, ROWS = 24, WIDE = 8, SHOWN = 5;
let next = [];       // random generators after the step
let v = [];          // values of the program, by number
let at = 0;          // the step that is shown
let costs = [];      // the cost before each step of training
let timer = null;
let pointed = null;  // the cell that was pointed at: value and number of the element

// Numbers

function initialValues() {
  v = [];
  for (const [k, value] of Object.entries(data.values)) {  // a generator has a state instead
    v[k] = value.state ? { ...value } : { shape: value.shape, data: Float64Array.from(value.data) };
  }
  costs = [];
}

function compute() {  // generators stay as they are before the step; `next` is what a step leaves
  if (data.missing.length) return;
  const before = Object.keys(data.values).filter((k) => v[k].state).map((k) => [k, { ...v[k] }]);
  runProgram(v);
  next = before.map(([k]) => [k, v[k]]);
  for (const [k, generator] of before) v[k] = generator;
}

function train(count) {
  for (let i = 0; i < count; i++) {
    costs.push(cost());
    const news = data.changes.map(([, k]) => v[k]);
    data.changes.forEach(([old], i) => { v[old] = news[i]; });
    for (const [k, generator] of next) v[k] = generator;
    compute();
  }
  show();
}

const cost = () => (data.loss === null ? NaN : v[data.loss].data[0]);

function text(x) {
  if (!Number.isFinite(x)) return String(x);
  if (Number.isInteger(x) && Math.abs(x) < 1e5) return String(x);
  const size = Math.abs(x);
  return size >= 1e5 || size < 1e-3 ? x.toExponential(2) : x.toPrecision(4).slice(0, 8);
}

function largest(x) {
  return x.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

// Orange for positive, blue for negative, white for zero; the sign stands in the digits, too.
function colour(x, most) {
  const share = most ? Math.min(1, Math.abs(x) / most) ** 0.8 : 0;
  const [r, g, b] = x < 0 ? [86, 165, 216] : [235, 145, 70];
  const mix = (c) => Math.round(245 + (c - 245) * share);
  return `rgb(${mix(r)},${mix(g)},${mix(b)})`;
}

// Arrays as heat maps. A cell knows its row and column in the array, however it lies.

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function grid(x, rows, columns, { across = false, strip = false }) {
  const most = largest(x), width = x.shape.length > 1 ? x.shape.at(-1) : x.data.length;
  const table = element("table", { class: strip ? "strip" : undefined });
  const cell = (i, j) => {
    const value = x.data[i * width + j];
    const node = element("td", { style: `background:${colour(value, most)}`, "data-at": `${i},${j}`, "data-element": i * width + j });
    node.dataset.number = value;
    if (!strip) node.textContent = text(value);
    return node;
  };
  const [outer, inner] = across ? [columns, rows] : [rows, columns];
  for (let i = 0; i < outer; i++) {
    const row = element("tr");
    for (let j = 0; j < inner; j++) row.append(across ? cell(j, i) : cell(i, j));
    table.append(row);
  }
  return table;
}

function drawArray(k, step, role) {
  const x = v[k], label = data.labels[k];
  const columns = x.shape.length > 1 ? x.shape.at(-1) : x.data.length;
  const rows = x.shape.length > 1 ? x.data.length / Math.max(1, columns) : 1;
  const kinds = ["array", data.kinds[k], role && "result", role && step.phase].filter(Boolean);
  const box = element("div", { class: kinds.join(" "), "data-value": k, tabindex: 0, role: "group", "aria-label": label });
  const shape = x.shape.length ? x.shape.join(" × ") : "scalar";
  const size = x.data.length > 1 ? `, |max| ${text(largest(x))}` : "";
  box.append(element("h3", {}, element("b", {}, label), ` ${shape}${size}`));
  if (rows > WIDE) {  // samples lie across
    const some = Math.min(rows, COLUMNS), lines = Math.min(columns, ROWS);
    box.append(grid(x, some, lines, { across: true, strip: true }));
    box.append(element("p", {}, `${rows} rows across${some < rows ? `, the first ${some}` : ""}; the first ${SHOWN}:`));
    box.append(grid(x, SHOWN, Math.min(columns, WIDE), { across: true }));
  } else if (columns > WIDE) {
    box.append(grid(x, rows, Math.min(columns, COLUMNS), { strip: true }));
    box.append(element("p", {}, `${columns} columns; the first ${SHOWN}:`));
    box.append(grid(x, rows, SHOWN, {}));
  } else {
    box.append(grid(x, rows, columns, {}));
  }
  return box;
}

// Which cells of an argument a cell of the result comes from: null stands for a whole row or column.

function sources(step, i, j, position) {
  const shape = v[step.reads[position]].shape, result = v[step.writes].shape;
  if (!result.length) return [null, null];
  const row = shape.length > 1 || shape[0] !== result[0] ? [i, null] : [0, i];
  const relations = {
    elementwise: [shape.at(-2) > 1 ? i : 0, shape.at(-1) > 1 ? j : 0],
    rows: row,
    linear: [[i, null], [j, null], [0, j]],
    weights: [[null, i], [null, j]],
    bias: [[null, j]],
    back: [[i, null], [null, j]],
  };
  const relation = relations[step.relation];
  return Array.isArray(relation[0]) ? relation[position] : relation;
}

function hasSources(step) {
  return step.relation !== "" || (!v[step.writes].shape.length && step.phase === "forward");
}

function indices(k, element) {
  const found = [];
  for (const size of [...v[k].shape].reverse()) {
    found.unshift(element % size);
    element = Math.floor(element / size);
  }
  return found.length ? `[${found.join(", ")}]` : "";
}

function pointAt(cell) {
  document.querySelectorAll("td.from").forEach((node) => node.classList.remove("from"));
  const array = cell && cell.closest(".array");
  const step = steps[at];
  if (!array) {
    pointed = null;
    $("cell").textContent = hasSources(step) ? "Point at a cell of the result to see where it comes from." : "Point at a cell to see its number.";
    return;
  }
  const [i, j] = cell.dataset.at.split(",").map(Number), k = Number(array.dataset.value);
  pointed = { k, element: cell.dataset.element };
  $("cell").textContent = `${data.labels[k]}${indices(k, pointed.element)} = ${cell.dataset.number}`;
  if (!array.classList.contains("result") || !hasSources(step)) return;
  step.reads.forEach((source, position) => {
    const from = sources(step, i, j, position);
    if (!from) return;
    document.querySelectorAll(`.array[data-value="${source}"] td`).forEach((node) => {
      const [row, column] = node.dataset.at.split(",").map(Number);
      const fits = (wanted, here) => wanted === null || wanted === here;
      if (fits(from[0], row) && fits(from[1], column)) node.classList.add("from");
    });
  });
}

// A step: box, formula, line, arrays

function light(selector, wanted) {
  document.querySelectorAll(`${selector}.lit`).forEach((node) => node.classList.remove("lit"));
  const nodes = [...document.querySelectorAll(selector)].filter((node) => wanted.includes(Number(node.dataset.number)));
  nodes.forEach((node) => node.classList.add("lit"));
  if (nodes.length) scrollWithin(nodes[0].closest("section"), nodes[0]);
}

function scrollWithin(panel, node) {
  const outer = panel.getBoundingClientRect(), inner = node.getBoundingClientRect();
  if (inner.top < outer.top + 60 || inner.bottom > outer.bottom - 8) {
    panel.scrollTop += inner.top - outer.top - panel.clientHeight / 3;
  }
  if (inner.right > outer.right || inner.left < outer.left) panel.scrollLeft += inner.left - outer.left - 16;
}

function showRule(step) {
  const rule = $("rule");
  rule.replaceChildren();
  for (const number of step.formulas) {
    const formula = document.querySelector(`#derivation li[data-number="${number}"] math`);
    const line = element("div", { class: "formula" }, formula.cloneNode(true));
    line.append(element("span", { class: "number" }, `formula (${number})`));
    rule.append(line);
  }
  if (step.text) rule.append(element("code", {}, step.text));
  const apart = step.lines.at(-1) - step.lines[0] >= step.lines.length;
  if (apart || !step.text) {  // lines that the program's column may not show together
    const lines = step.lines.map((k) => document.querySelector(`#program span[data-number="${k}"]`).textContent.trim());
    rule.append(element("code", { class: "lines" }, lines.join("\n")));
  }
  rule.hidden = !rule.hasChildNodes();
}

function showStep() {
  const step = steps[at];
  $("step-title").replaceChildren(element("span", { class: `phase ${step.phase}` }, step.phase), ` ${step.title}`);
  showRule(step);
  $("sentence").textContent = step.sentence;
  $("arrays").replaceChildren(
    ...step.reads.map((k) => drawArray(k, step, "")), drawArray(step.writes, step, "result"));
  if (step.between.length) $("arrays").append(
    element("p", {}, "Computed on the way:"), ...step.between.map((k) => drawArray(k, step, "")));
  light("#program span", step.lines);
  light("#derivation li", step.formulas);
  document.querySelectorAll(".tg-graph g[data-box]").forEach((box) => {
    const current = Number(box.dataset.box) === step.box;
    box.classList.toggle("current", current);
    box.classList.toggle("backward", current && step.phase !== "forward");
    if (current) { box.setAttribute("aria-current", "step"); scrollWithin($("graph"), box); }
    else box.removeAttribute("aria-current");
  });
  const again = pointed && `.array[data-value="${pointed.k}"] td[data-element="${pointed.element}"]`;
  pointAt(again && $("arrays").querySelector(again));
  $("slider").value = at;
  $("position").textContent = `Step ${at + 1} of ${steps.length}`;
  $("back").disabled = $("first").disabled = at === 0;
  $("next").disabled = at === steps.length - 1;
}

function show() {
  showStep();
  showPlots();
  $("trained").textContent = `${costs.length} steps trained: C = ${text(cost())}`;
}

function go(k) {
  at = Math.min(Math.max(k, 0), steps.length - 1);
  showStep();
}

// Plots

function plot(id, curves) {
  const [width, height, edge] = [260, 120, 8];
  const all = curves.flatMap((curve) => curve.points).filter(([, y]) => Number.isFinite(y));
  if (!all.length) return;
  const range = (k) => [Math.min(...all.map((p) => p[k])), Math.max(...all.map((p) => p[k]))];
  const [[left, right], [low, high]] = [range(0), range(1)];
  const place = ([x, y]) => [
    edge + ((x - left) / (right - left || 1)) * (width - 2 * edge),
    height - edge - ((y - low) / (high - low || 1)) * (height - 2 * edge),
  ].map((c) => c.toFixed(1)).join(" ");
  $(id).replaceChildren(...curves.map(({ points, kind }) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", `M${[...points, points.at(-1)].map(place).join("L")}`);
    path.setAttribute("class", kind);
    return path;
  }));
}

function showPlots() {
  if (data.output !== null && data.x !== null) {
    const [x, output] = [v[data.x], v[data.output]], rows = output.shape[0];
    const oneInput = x.data.length === rows;
    const target = data.y === null ? null : v[data.y];
    const axis = oneInput ? x.data : Float64Array.from({ length: rows }, (_, i) => i);
    const order = [...axis.keys()].sort((i, j) => axis[i] - axis[j]);
    const first = (a) => order.map((i) => [axis[i], a.data[i * (a.data.length / rows)]]);
    const curves = [{ points: first(output), kind: "output" }];
    const width = output.data.length / rows;
    const compared = target !== null && target.data.length === output.data.length;
    if (compared) curves.push({ points: first(target), kind: "target" });
    const what = `${width > 1 ? "Column 0 of " : ""}${data.labels[data.output]}${compared ? " and target (dashed)" : ""}`;
    $("fit-caption").textContent = `${what} over ${oneInput ? "x" : "the samples"}`;
    plot("fit", curves);
  }
  $("fit").parentNode.hidden = data.output === null || data.x === null;
  $("cost-caption").textContent = "C over the steps trained here";
  const every = Math.ceil((costs.length + 1) / 500);
  const points = [...costs, cost()].map((c, i) => [i, c]).filter((_, i) => i % every === 0 || i === costs.length);
  plot("cost", [{ points, kind: "cost" }]);
}

// Controls

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => (at < steps.length - 1 ? go(at + 1) : play(false)), 1200) : null;
  $("play").textContent = on ? "Pause" : "Play";
}

const move = (k) => () => { play(false); go(k()); };
$("first").addEventListener("click", move(() => 0));
$("back").addEventListener("click", move(() => at - 1));
$("next").addEventListener("click", move(() => at + 1));
$("slider").max = steps.length - 1;
$("slider").addEventListener("input", move(() => Number($("slider").value)));
$("play").addEventListener("click", () => {
  if (timer === null && at === steps.length - 1) go(0);
  play(timer === null);
});
document.querySelectorAll("[data-train]").forEach((button) => {
  button.disabled = data.missing.length > 0;
  button.addEventListener("click", () => train(Number(button.dataset.train)));
});
$("reset").addEventListener("click", () => { initialValues(); compute(); setRate(); show(); });

function setRate() {
  const field = $("rate"), rate = Number(field.value);
  if (data.rate !== null && field.value !== "" && rate >= 0) {
    v[data.rate] = { shape: [], data: Float64Array.of(rate) };
    compute();
  }
}
if (data.rate === null) $("rate-label").hidden = true;
else $("rate").value = data.values[data.rate].data[0];
$("rate").addEventListener("change", () => { setRate(); show(); });

document.addEventListener("keydown", (event) => {
  const keys = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, Home: () => 0, End: () => steps.length - 1 };
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (keys[event.key]) { event.preventDefault(); move(keys[event.key])(); }
});

function openBox(box) {
  const number = Number(box.dataset.box);
  const own = steps.map((step, k) => [step, k]).filter(([step]) => step.box === number).map(([, k]) => k);
  const later = own.find((k) => k > at);
  if (own.length) move(() => later ?? own[0])();
}
document.querySelectorAll(".tg-graph g[data-box]").forEach((box) => {
  box.addEventListener("click", () => openBox(box));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); openBox(box); }
  });
});
function noteOn(code) {
  if (/^\s+return /.test(code)) return "The step returns the gradients, which become those of the parameters, and the result of the function; the lines that compute them show their numbers.";
  if (/^\w+ = /.test(code)) return "A constant, computed once, before the first call.";
  if (/^(import|from) /.test(code)) return "A name that the program uses.";
  if (/^    \w+,$|^def /.test(code)) return "Arguments: the batch, the parameters, and the numbers and state of the optimizer.";
  return "";
}
document.querySelectorAll("#program span").forEach((line) => {
  const [code, comment = ""] = line.textContent.split("#");
  const own = [...steps.keys()].filter((k) => steps[k].lines.includes(Number(line.dataset.number)));
  const isCited = (k) => steps[k].formulas.some((number) => comment.includes(`(${number})`));
  const order = [...own.filter(isCited), ...own.filter((k) => !isCited(k))];
  const note = noteOn(code);
  if (!own.length && !note) return;
  line.classList.add("step");
  line.addEventListener("click", () => {
    $("note").textContent = own.length ? "" : note;
    if (own.length) move(() => order[(order.indexOf(at) + 1) % order.length])();
  });
});
$("arrays").addEventListener("pointerover", (event) => pointAt(event.target.closest("td")));

if (data.missing.length) {
  $("notice").hidden = false;
  $("notice").textContent = `This page shows recorded numbers: ${data.missing.join(", ")} cannot run in the browser.`;
}
initialValues();
compute();
show();
