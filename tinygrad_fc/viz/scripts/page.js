// The page: its steps, tabs, links and keys.

let at = 0;  // the step that is shown

function light(selector, isLit) {
  for (const node of all(selector)) node.classList.toggle("lit", isLit(node.dataset));
  const first = document.querySelector(`${selector}.lit`);
  if (!first) return;
  const panel = first.closest("[role=tabpanel]");
  const outer = panel.getBoundingClientRect(), inner = first.getBoundingClientRect();
  panel.scrollBy(inner.left - outer.left - 16, inner.top - outer.top - panel.clientHeight / 3);
}

function formulaHtml(step, number) {  // below the last layer, one of layer L holds for layer l
  const item = document.querySelector(`#derivation li[data-number="${number}"]`);
  if (!item) return "";
  const math = item.querySelector("math").outerHTML;
  const shown = step.is_hidden ? math.replaceAll("<mi>L</mi>", "<mi>l</mi>") : math;
  const isSum = step.is_summed && samples > 1 && Number(number) > 0;
  const sum = "<mo>=</mo><munder><mo>∑</mo><mi>b</mi></munder>";
  const html = isSum ? shown.replace("<mo>=</mo>", sum) : shown;
  const name = item.querySelector(".number").textContent + (shown === math ? "" : ", l for L")
    + (isSum ? ", over the batch" : "");
  return `<div class="formula">${html}<span class="number">${name}</span></div>`;
}

function showRule(step) {
  const isOther = isEvaluating && data.evaluation[step.writes];
  const { formulas: cited, text: written } = isOther ? { formulas: [], text: [] } : step;
  const formulas = cited.map((number) => formulaHtml(step, number)).join("");
  const lines = written.map(formulaOf).join("<br>");
  $("rule").innerHTML = (formulas && `<div class="formulas">${formulas}</div>`)
    + `<div class="words"><p class="here-rule">${lines}</p>`
    + `<p class="sentence">${escaped(sentenceOf(step))}</p></div>`;
}

function* showHead() {  // and what else takes space from the arrays
  const step = steps[at];
  document.body.dataset.phase = step.phase;
  $("step-title").innerHTML = `<span class="phase">${step.phase}</span> ${titleOf(step, symbol)}`;
  showRule(step);
  yield;
  $("return").hidden = !trail.length;
  if (pinned && ![step.writes, ...step.reads, ...step.between].includes(pinned.k)) pinned = null;
  hovered = null;
  showMemory();
  showCheck(pinned);
  light("#program span", ({ number }) => step.lines.includes(Number(number)));
  light("#derivation li", ({ number }) => step.formulas.map(String).includes(number));
  light(".tg-graph g[data-box]", ({ box }) => Number(box) === step.box);
  $("slider").value = at;
  $("position").textContent = `Step ${at + 1} of ${steps.length}`;
  $("back").disabled = $("first").disabled = at === 0;
  $("next").disabled = at === steps.length - 1;
}

// Parts of the page in the order in which they are drawn; those of a step; those with numbers.
const PARTS = [showHead, showEdit, showStatus, showArrays, showCell, showFit, showTraining];
const STEP = PARTS.slice(0, 5), LIVE = PARTS.slice(1);

function go(k) {
  at = clamped(k, 0, steps.length - 1);
  if (steps[at].phase !== "forward") evaluate(false);  // which has no backward pass
  openFit(false);
  draw(...STEP);
  writeAddress();
}

// Go to a step by a control; clears the trail of clicks.
const move = (k) => { trail = []; go(k); };

function showTab(tab) {
  for (const other of all("[role=tab]", tab.parentNode)) {
    other.setAttribute("aria-selected", other === tab);
    $(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
  draw(...STEP);
}

function openNext(isOwn) {  // of several steps the next one, or again the first
  const own = [...steps.keys()].filter((k) => isOwn(steps[k]));
  if (own.length) move(own.find((k) => k > at) ?? own[0]);
}

function nested({ shape: [n, ...rest], data: numbers }) {  // as lists of lists
  const size = sizeOf(rest), part = (i) => numbers.slice(i * size, (i + 1) * size);
  if (n === undefined) return numbers[0];
  return Array.from({ length: n }, (_, i) => nested({ shape: rest, data: part(i) }));
}

function exportWeights(link) {
  const weights = Object.keys(data.gradients).map((k) => [data.labels[k], nested(v[k])]);
  const text = JSON.stringify(Object.fromEntries(weights));
  link.href = `data:application/json,${encodeURIComponent(text)}`;
}

function importWeights(weights) {  // those of the file that have a name and shape of this network
  const changes = Object.keys(data.gradients).map(Number).flatMap((k) => {
    const numbers = [weights[data.labels[k]]].flat(Infinity).map(Number);
    const fits = numbers.length === v[k].data.length && numbers.every(Number.isFinite);
    return fits ? [[k, array(v[k].shape, numbers)]] : [];
  });
  $("note").textContent = `${changes.length} of ${Object.keys(data.gradients).length} arrays fit.`;
  stop();
  compute(recomputing(changes));
}

// Controls: what a press, an input, a key does

const cellOf = ({ dataset: { k, e } }) => [Number(k), Number(e)];
const PRESSED = {
  "#first": () => move(0), "#back": () => move(at - 1),
  "#next, #begin": () => move(at + !document.body.classList.contains("opening")),
  "#play": () => play(), "#tour-next": nextStop, "#evaluation": () => evaluate(!isEvaluating),
  "#lecture, #path-on, #memory-on, #check-on": toggle,
  "#train": () => (running ? stop() : train()), "#train-1": () => train(1),
  "#reset": () => { stop(); compute(resetting()); }, 
  "#return": () => { ({ at, pinned } = trail.pop()); go(at); },
  "#export": exportWeights, "[role=tab]": showTab,
  "#fit [data-b]": ({ dataset }) => chooseSample(Number(dataset.b)),
  ".tg-graph g[data-box]": ({ dataset }) => openNext((step) => step.box === Number(dataset.box)),
  "#program span[data-number]": ({ dataset }) => (
    openNext((step) => step.lines.includes(Number(dataset.number)))),
  "a[data-k]": (node) => visit(...cellOf(node), false),
  "#network-svg [data-k]": (node) => visit(...cellOf(node), true),
};
const CHANGED = {
  slider: ({ value }) => move(Number(value)), tours: ({ value }) => startTour(value),
  guess: checkGuess,
  import: ({ files }) => files[0]?.text().then(JSON.parse).then(
    importWeights, () => { $("note").textContent = "This is no JSON."; }),
  sample: ({ value }) => chooseSample(Number(value)),
  rate: () => compute(recomputing(rateChange())), h: () => draw(showCell),
  zoom: ({ value }) => { $("left").style.setProperty("--zoom", value); draw(showCell); },
};
const KEYS = {
  ArrowRight: () => at + 1, ArrowLeft: () => at - 1, Home: () => 0, End: () => steps.length - 1,
};

function press({ target }) {
  for (const [selector, act] of Object.entries(PRESSED)) {
    const node = target.closest(selector);
    if (node) act(node);
  }
}

function pressKey(event) {  // buttons are pressed by the browser
  const { key, target } = event, here = cellAt(event);
  const isField = ["INPUT", "SELECT"].includes(target.tagName);
  if (target.id === "editor" && key === "Enter") acceptNumber(target);
  if (isField || event.ctrlKey || event.metaKey || event.altKey) return;
  const isPress = key === "Enter" || key === " ";
  if (isPress && target.matches("g, a[role]")) {
    press(event);
    if (target.matches("a")) idle().then(() => pinned && cellNode(pinned)?.focus());
  }
  else if (isPress && here) edit(event);
  else if (here && ARROWS[key]) moveCell(here, ARROWS[key]);
  else if (KEYS[key]) move(KEYS[key]());
  else return;
  event.preventDefault();
}

function listen() {
  const listeners = {
    click: press, keydown: pressKey, dblclick: edit, focusin: focusCell,
    input: ({ target }) => CHANGED[target.id]?.(target),
    pointerover: (event) => point(cellAt(event)),
  };
  for (const [kind, act] of Object.entries(listeners)) document.addEventListener(kind, act);
  addEventListener("resize", () => draw(...PARTS));
  addEventListener("hashchange", () => compute(goingToLink()));
}

function start() {
  [$("slider").max, $("sample").max] = [steps.length - 1, samples - 1];
  const has = ([, stops]) => stops.every(({ step }) => stepNamed(step) >= 0);
  const fitting = Object.entries(TOURS).filter(has);
  for (const [name] of fitting) $("tours").add(new Option(name, name));
  $("tours").hidden = !fitting.length;
  openFit(data.output !== null || data.loss !== null);
  followTheme();
  $("evaluation").hidden = !Object.keys(data.evaluation).length || !canRun;
  $("rate-label").hidden = !data.rates.length;
  if (data.rates.length) $("rate").value = initial[data.rates[0]].data[0];
  compute(resetting());
  listen();
  $("network-tab").hidden = !data.network;
  if (!data.network) showTab($("graph-tab"));
  compute(goingToLink());
  draw(...PARTS);
}
start();
