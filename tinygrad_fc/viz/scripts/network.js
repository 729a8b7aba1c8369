// The network: columns of neurons and boxes by depth, links between them, and the numbers of the
// chosen sample as the pass proceeds. It is drawn once for a size; then numbers and lights are set.

const { columns, links } = data.network ?? { columns: [], links: [] };
const weightLinks = links.filter(({ kind }) => kind === "weights");
const MOST_LINES = 1500;
const MOST_NEURONS = Math.min(12, Math.max(
  3, Math.floor(Math.sqrt(MOST_LINES / Math.max(1, weightLinks.length)))));
let drawn = null;       // {size, neurons of each column, lines of each link}
let numbersOf = [];     // the values, step and sample whose numbers are set
let nodesOf = {};       // by cell, "k,element"
let litNodes = [];

const shownNeurons = ({ width, is_box: isBox }) => (
  isBox ? [0] : [...Array(Math.min(width, MOST_NEURONS)).keys()]);

// Where columns lie: by depth from left to right, those of one depth below each other.
function placed(width, height) {
  const depths = Map.groupBy(columns, ({ depth }) => depth), last = Math.max(...depths.keys());
  const count = (all) => all.reduce((sum, c) => sum + shownNeurons(c).length + 1, -1);
  const most = Math.max(...[...depths.values()].map(count)), gap = (height - 52) / most;
  const r = Math.min(19, gap * 0.42, width / (last + 1) / 3.4);
  const places = columns.map((column) => {
    const all = depths.get(column.depth);
    const before = count(all.slice(0, all.indexOf(column))) + 1;
    const first = 42 + (height - 52) / 2 + (before - (count(all) - 1) / 2) * gap;
    const x = last ? r + 8 + (column.depth * (width - 2 * r - 16)) / last : width / 2;
    return { x, y: (i) => first + i * gap };
  });
  return { r, gap, places };
}

function linkHtml({ source, target, kind, title, shared, is_skip: isSkip }, l, { r, places }) {
  const [from, to] = [shownNeurons(columns[source]), shownNeurons(columns[target])];
  const [a, b] = [places[source], places[target]];
  if (kind === "weights") {
    const colour = shared === null ? "" : ` style="stroke:${hue(shared)}"`;
    return to.flatMap((j, y) => from.map((i, x) => (
      `<line class="edge" data-link="${l}" data-i="${i}" data-j="${j}" x1="${a.x}" y1="${a.y(x)}"`
      + ` x2="${b.x}" y2="${b.y(y)}"${colour}/>`))).join("");
  }
  if (kind === "same" && !isSkip) {
    return from.map((_, i) => (
      `<line class="same" x1="${a.x}" y1="${a.y(i)}" x2="${b.x}" y2="${b.y(i)}"/>`)).join("");
  }
  if (kind === "same") {
    const [y0, y1] = [a.y(0) - r - 17, b.y(0) - r - 18], top = Math.max(2, Math.min(y0, y1) - 30);
    return `<path class="skip" d="M${a.x} ${y0}C${a.x} ${top} ${b.x} ${top} ${b.x} ${y1}" `
      + `marker-end="url(#skip-end)"><title>skip: ${title} of ${plain(columns[source].output)}`
      + "</title></path>";
  }
  const corner = (p, all, i) => `${p.x} ${p.y(i) + (i ? r : -r)}`;
  return `<path class="all" d="M${corner(a, from, 0)}L${corner(b, to, 0)}L${
    corner(b, to, to.length - 1 || 0.01)}L${corner(a, from, from.length - 1 || 0.01)}Z">`
    + `<title>${title}</title></path>`;
}

function columnHtml(column, c, { r, places }) {
  const { x, y } = places[c], shown = shownNeurons(column), last = shown.length - 1;
  const rest = column.is_box ? 0 : column.width - shown.length;
  const more = rest ? `<text x="${x}" y="${y(last) + r + 11}" class="head">+ ${rest}</text>` : "";
  const shape = (i) => (column.is_box
    ? `<rect x="${x - r - 6}" y="${y(i) - r}" width="${2 * r + 12}" height="${2 * r}" rx="4"/>`
    : `<circle cx="${x}" cy="${y(i)}" r="${r.toFixed(1)}"/>`);
  const name = column.is_box ? escaped(column.title.slice(0, 9)) : "";
  const node = (j, i) => `<g class="neuron" data-column="${c}" data-j="${j}" tabindex="0" `
    + `role="button">${shape(i)}<text x="${x}" y="${y(i) + 3.5}">${name}</text><title></title></g>`;
  return `<text class="head" data-head="${c}" x="${x}" y="${y(0) - r - 6}"></text>${more}`
    + shown.map(node).join("");
}

function drawNetwork(svg) {
  const [width, height] = [svg.clientWidth || 360, svg.clientHeight || 400];
  const layout = placed(width, height), { r } = layout;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.style.fontSize = `${Math.min(11, 0.62 * r)}px`;
  svg.innerHTML = links.map((link, l) => linkHtml(link, l, layout)).join("")
    + columns.map((column, c) => columnHtml(column, c, layout)).join("");
  const neurons = Object.groupBy(all("g.neuron", svg), ({ dataset }) => dataset.column);
  const lines = Object.groupBy(all("line.edge", svg), ({ dataset }) => dataset.link);
  drawn = { svg, size: `${width} ${height}`, r, neurons, lines, heads: all("[data-head]", svg) };
  [numbersOf, litNodes] = [[], []];
}

// What a column and a link show in this phase, and whether it is computed by now.
const isDone = (k) => stepOf(k) <= at;
function shownOfColumn({ output, d }) {
  const k = steps[at].phase === "backward" && d !== null && stepOf(d) >= 0 ? d : output;
  return { k, isKnown: isDone(k) };
}
function shownOfLink({ weight }) {
  const wanted = { backward: data.gradients[weight], update: newOf[weight] }[steps[at].phase];
  const isKnown = isDone(wanted ?? weight), k = isKnown ? wanted ?? weight : weight;
  return { k, isKnown: isKnown || steps[at].phase !== "backward" };
}
const elementOf = ({ weight, is_turned: isTurned }, i, j) => (
  isTurned ? i * v[weight].shape[1] + j : j * v[weight].shape[1] + i);

// Sets the cell that each node shows, and notes the nodes that stand for a cell.
function setNumbers() {
  const { writes, reads } = steps[at], current = new Set([writes, ...reads]);
  nodesOf = {};
  const show = (node, k, element, own) => {
    Object.assign(node.dataset, { k, e: element });
    for (const other of own) (nodesOf[`${other},${element}`] ??= []).push(node);
  };
  links.forEach((link, l) => {
    if (link.kind !== "weights") return;
    const { k, isKnown } = shownOfLink(link), x = v[k], most = largest(x);
    const own = [link.weight, data.gradients[link.weight], newOf[link.weight]];
    const aside = own.some((other) => current.has(other)) ? "" : " aside";
    for (const node of drawn.lines[l]) {
      const e = elementOf(link, Number(node.dataset.i), Number(node.dataset.j)), value = x.data[e];
      const sign = value < 0 ? "minus" : "plus", wide = most ? (5 * Math.abs(value)) / most : 0;
      show(node, k, e, own);
      node.setAttribute("class", `edge ${isKnown ? sign : "unknown"}${aside}`);
      node.setAttribute("stroke-width", (0.5 + wide).toFixed(2));
    }
  });
  columns.forEach((column, c) => {
    const { k, isKnown } = shownOfColumn(column), x = v[k], most = largest(x);
    const { layer } = data.symbols[column.own[0]] ?? {};
    drawn.heads[c].textContent = data.symbols[k] ? plain(k)
      : `${layer ? `layer ${layer}: ` : ""}${column.title}`;
    for (const node of drawn.neurons[c]) {
      const e = column.is_box ? 0 : sample * column.width + Number(node.dataset.j);
      const value = x.data[e];
      const name = column.is_box ? `${column.title}: ${plain(k)}, ${x.shape.join(" × ")}`
        : `${plain(k)} [${sample}, ${node.dataset.j}]${isKnown ? ` = ${text(value)}` : ", later"}`;
      show(node, k, e, column.is_box ? [] : [...column.own, column.d]);
      node.setAttribute("aria-label", name);
      node.lastChild.textContent = name;
      if (column.is_box) continue;
      node.firstChild.style.fill = isKnown ? colour(value, most) : "var(--panel)";
      node.children[1].textContent = isKnown && drawn.r > 9 ? short(value) : "";
    }
  });
}

function setLights() {
  const here = hovered ?? pinned, cells = [...litCells];
  if (here) cells.push(`${here.k},${here.element}`);
  for (const node of litNodes) node.classList.remove("lit");
  litNodes = cells.flatMap((cell) => nodesOf[cell] ?? []);
  for (const node of litNodes) node.classList.add("lit");
}

function showNetwork() {
  const svg = $("network-svg");
  if (!data.network || svg.closest("[hidden]") || !svg.clientWidth) return;
  if (drawn?.size !== `${svg.clientWidth} ${svg.clientHeight}`) drawNetwork(svg);
  const wanted = [v, at, sample];
  if (wanted.some((x, i) => x !== numbersOf[i])) setNumbers();
  numbersOf = wanted;
  setLights();
}
