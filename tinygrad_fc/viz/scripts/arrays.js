// Arrays as tables, as large as all those of a step fit. The samples of a batch lie across.

const GAP = 12, HEAD = 20, AXIS = 13, FRAME = 10, SIDE = 24;
const BESIDE = 80;  // the numbers of the chosen sample
// Height of cells and width of those with numbers (0: colours alone), from roomy to dense.
const DENSITIES = [
  [20, 54], [17, 54], [15, 31], [13, 31],
  [13, 0], [11, 0], [9, 0], [8, 0], [7, 0], [6, 0], [5, 0], [4, 0], [3, 0],
];
const LECTURE = [[38, 96], [30, 80], [24, 62], ...DENSITIES];  // one sample's numbers, large
const isLecture = () => isOn("lecture");
const isPhone = () => innerWidth <= 700;
const TAP = [28, 46];  // cells that a finger hits
let sample = Math.min(samples - 1, Math.round(samples * 0.4));
let pinned = null;   // the cell that is held: {k, element}
let hovered = null;  // the cell under the pointer

const clamped = (x, low, high) => Math.min(Math.max(x, low), high);

// Rows and columns as they lie on the page, of which a window with the wanted cell is shown.
function extents({ k, x }) {
  const { shape, data: { length } } = x, batch = isBatch(k);
  const width = shape.length > 1 ? shape.at(-1) : 1, height = shape.length ? length / width : 1;
  const [n, m] = batch ? [width, height] : [height, width];
  const rows = Math.min(n, 24), most = isPhone() ? Math.floor((innerWidth - 60) / (TAP[1] + 1))
    : batch && isLecture() ? 1 : batch ? 120 : 32;
  const columns = Math.min(m, most, Math.floor(960 / rows));
  const own = pinned?.k === k ? pinned.element : 0;
  const [i, j] = batch ? [own % width, sample] : [Math.floor(own / width), own % width];
  const start = (wanted, all, some) => (
    wanted < some ? 0 : clamped(wanted - Math.floor(some / 2), 0, all - some));
  return { batch, width, n, m, rows, columns, top: start(i, n, rows), left: start(j, m, columns) };
}

// Sizes in pixels of an array's cells and box at a density, where `space` is the page's column.
function sized(entry, [cellHeight, numberWidth], space) {
  const { batch, rows, columns, m } = entry;
  const isWhole = columns === m || isPhone() || (batch && isLecture());
  const numbers = numberWidth > 0 && isWhole && columns * (numberWidth + 1) + SIDE <= space;
  const isTall = cellHeight >= 8, beside = batch && !numbers && isTall ? BESIDE : 0;
  const most = Math.floor((space - SIDE - beside) / columns) - 1;
  const wide = clamped(most, 1, batch && isTall ? 14 : Math.max(4, cellHeight));
  const cellWidth = numbers ? numberWidth : wide;
  const axis = isTall && (batch || columns > 1) ? AXIS : 0;
  const wanted = SIDE + columns * (cellWidth + 1) + beside, tight = numberWidth < 50;
  const boxWidth = clamped(wanted, isLecture() ? 150 : 128, space);
  const boxHeight = FRAME + HEAD + rows * (cellHeight + 1) + axis;
  return { ...entry, cellHeight, cellWidth, boxWidth, boxHeight, numbers, beside, axis, tight };
}

// The height of boxes that lie beside each other as long as they fit.
function stacked(boxes, space) {
  let [height, x, line] = [0, 0, 0];
  for (const { boxWidth, boxHeight } of boxes) {
    if (x && x + boxWidth > space) [height, x, line] = [height + line + 2, 0, 0];
    [x, line] = [x + boxWidth + GAP, Math.max(line, boxHeight)];
  }
  return height + line;
}

function tableHtml(box) {
  const { x, batch, width, n, m, rows, columns, top, left, numbers, beside, tight } = box;
  const most = largest(x), write = (y) => (tight && numbers ? short(y) : text(y, 3));
  const cell = (e, inner, more) => `<td tabindex="-1" data-e="${e}" ${more} style="background:${
    colour(x.data[e], most)}">${inner}</td>`;
  let html = "";
  for (let i = top; i < top + rows; i++) {
    html += `<tr><td class="side">${n > 1 ? i : ""}</td>`;
    for (let j = left; j < left + columns; j++) {
      const e = batch ? j * width + i : i * width + j;
      const kind = batch && j === sample ? ' class="sample"' : "";
      html += cell(e, numbers ? write(x.data[e]) : "", `data-at="${i},${j}"${kind}`);
    }
    const own = sample * width + i;
    html += `${beside ? cell(own, write(x.data[own]), 'class="beside"') : ""}</tr>`;
  }
  if (!box.axis) return html;
  const last = left + columns - 1;
  const end = `${last}${last < m - 1 ? ` of ${m}` : ""}`;
  const ends = `<td colspan="${columns}"><span>${batch ? "sample " : ""}${left}</span><span>${
    end}</span></td>${beside ? `<td class="beside">b = ${sample}</td>` : ""}`;
  return `${html}<tr class="axis"><td class="side"></td>${ends}</tr>`;
}

function boxHtml(box) {
  const { k, x, head, role, cellWidth, cellHeight, boxWidth, numbers } = box, name = data.labels[k];
  const kinds = ["array", role, role !== "part" && data.kinds[k], numbers ? "numbers" : "heat"];
  const size = x.shape.join(" × ") + (numbers ? "" : ` |max| ${text(largest(x), 3)}`);
  const code = data.symbols[k] ? ` <code>${escaped(elided(name))}</code>` : "";
  const font = cellHeight < 8 ? 0 : isLecture() && cellHeight > 22 ? cellHeight * 0.56
    : Math.min(cellHeight - 2, box.tight ? 10 : 11);
  const style = `width:${boxWidth}px;--h:${cellHeight}px;--w:${cellWidth}px;--text-size:${font}px`;
  return `<div class="${kinds.filter(Boolean).join(" ")}" data-k="${k}" role="group" aria-label="${
    role === "result" || !role ? plain(k) : role}" style="${style}"><h3 title="${escaped(name)}, ${
    size}">${head ?? `<b>${symbol(k)}</b>${code}`} <span>${size}</span></h3>`
    + `<table>${tableHtml(box)}</table></div>`;
}

// The arrays of a step: what it reads, what it computes on the way, its result; for a gradient the
// part of one sample.
function arraysOf(step) {
  const { writes } = step, other = isEvaluating && data.evaluation[writes];
  const [reads, between] = other ? [other.slice(0, 3), []] : [step.reads, step.between];
  const arrays = [...reads, ...between].map((k) => ({ k, x: v[k], role: "" }));
  arrays.push({ k: writes, x: v[writes], role: "result" });
  const cotangent = reads.find((k) => data.kinds[k] === "cotangent" && isBatch(k));
  if (writes in parameterOf && cotangent !== undefined && canRun) {
    const head = `<b>b = ${sample} alone: <i>${step.part}</i></b>`;
    arrays.push({ k: writes, x: partOf(step, cotangent, sample), role: "part", head });
  }
  return arrays.map((entry) => ({ ...entry, ...extents(entry) }));
}

function* showArrays() {  // the height of all is computed for each density until they fit
  const panel = $("arrays"), space = panel.clientWidth - 4, arrays = arraysOf(steps[at]);
  const boxesAt = (density) => arrays.map((entry) => sized(entry, density, space));
  const fits = (density) => stacked(boxesAt(density), space) <= panel.clientHeight;
  const isFree = getComputedStyle(panel).overflowY === "visible";  // the page scrolls instead
  const density = isPhone() ? TAP : isFree ? DENSITIES[space < 500 ? 2 : 0]
    : (isLecture() ? LECTURE : DENSITIES).find(fits) ?? DENSITIES.at(-1);
  const boxes = boxesAt(density);
  yield;
  for (const [i, box] of boxes.entries()) {
    const old = panel.children[i], hasFocus = old?.contains(document.activeElement);
    panel.insertAdjacentHTML("beforeend", boxHtml(box));
    old?.replaceWith(panel.lastChild);
    panel.children[i].box = box;
    if (hasFocus && pinned) cellNode(pinned)?.focus();
    yield panel.offsetHeight;
  }
  while (panel.children.length > boxes.length) panel.lastChild.remove();
}
