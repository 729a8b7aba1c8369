// Plots with axes: output and targets, decision region, cost, norms of gradients.

const HUES = ["--value", "--gradient", "--parameter", "--fourth", "--fifth", "--sixth"];
const hue = (i) => `var(${HUES[i % HUES.length]})`;

function ticks(low, high, most, log) {
  if (log && high > 20 * low) {  // powers of ten
    return ticks(Math.log10(low), Math.log10(high), 5).filter(Number.isInteger).map((k) => 10 ** k);
  }
  const rough = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(rough));
  const by = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
  const first = Math.ceil(low / by), count = Math.floor(high / by) - first + 1;
  return Array.from({ length: count }, (_, k) => Number(((first + k) * by).toPrecision(9)));
}

const tickText = (x) => minus(x && Math.abs(x) < 1e-3 ? x.toExponential() : String(x));

function range(points, axis, log) {  // a little wider than the points; counts begin at 0
  const wider = ([a, b], p) => [Math.min(a, p[axis]), Math.max(b, p[axis])];
  const [low, high] = points.reduce(wider, [Infinity, -Infinity]), more = (high - low || 1) * 0.06;
  if (log) return [low / 1.3, high * 1.3];
  return axis === 0 && low === 0 ? [0, Math.max(high, 1)] : [low - more, high + more];
}

// Draws curves of [x, y] points; `below` and `above` return more SVG.
function plot(svg, { curves, log = false, xName, yName, below = () => "", above = () => "" }) {
  const width = svg.clientWidth || 360, height = svg.clientHeight || 170;
  const [left, right, top, bottom] = [46, width - 14, 20, height - 30];
  const isShown = ([, y]) => Number.isFinite(y) && (!log || y > 0);
  const points = curves.flatMap((curve) => curve.points.filter(isShown));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.innerHTML = "";
  if (!points.length) return;
  const [x0, x1] = range(points, 0), [y0, y1] = range(points, 1, log);
  const f = log ? Math.log : (y) => y;
  const px = (x) => left + ((x - x0) / (x1 - x0)) * (right - left);
  const py = (y) => bottom - ((f(y) - f(y0)) / (f(y1) - f(y0))) * (bottom - top);
  let html = below(px, py, [x0, x1, y0, y1]);
  for (const x of ticks(x0, x1, width / 75)) {
    html += `<line class="grid" x1="${px(x)}" x2="${px(x)}" y1="${top}" y2="${bottom}"/>`
      + `<text x="${px(x)}" y="${bottom + 12}" class="middle">${tickText(x)}</text>`;
  }
  for (const y of ticks(y0, y1, 5, log)) {
    html += `<line class="grid" x1="${left}" x2="${right}" y1="${py(y)}" y2="${py(y)}"/>`
      + `<text x="${left - 5}" y="${py(y) + 3.5}" class="end">${tickText(y)}</text>`;
  }
  html += `<text x="${right}" y="${height - 4}" class="end name">${xName}</text>`
    + `<text x="4" y="12" class="name">${yName}</text>`;
  for (const { points: all, kind } of curves) {
    const path = all.filter(isShown).map(([x, y]) => `${px(x).toFixed(1)} ${py(y).toFixed(1)}`);
    if (path.length && kind) {
      html += `<path class="${kind}" d="M${path[0]}L${path.join("L")}"/>`;
    }
  }
  svg.innerHTML = html + above(px, py);
}

// Output and target of each sample; over the plane of two inputs, the output everywhere

const rowOf = ({ data: x }, b) => (
  x.subarray((b * x.length) / samples, ((b + 1) * x.length) / samples));
const isTarget = () => data.has_target && data.y !== null && v[data.y].shape[0] === samples;
const isClassifier = () => data.threshold !== null && isTarget();

// A number of sample b; for a classifier its class: the largest of several columns, or whether a
// single output exceeds the threshold.
function shownOf(x, b, threshold) {
  const row = rowOf(x, b);
  if (isClassifier() && row.length > 1) return row.indexOf(Math.max(...row));
  return isClassifier() && threshold !== undefined ? Number(row[0] > threshold) : row[0];
}
const targetOf = (b) => shownOf(v[data.y], b);
const outputOf = (b, output = v[data.output]) => shownOf(output, b, data.threshold);

const CLASS_COLOURS = [
  [86, 165, 216], [235, 145, 70], [85, 190, 150], [190, 120, 210], [200, 180, 60],
];
const colourOf = (y) => (isClassifier() ? CLASS_COLOURS[y % CLASS_COLOURS.length]
  : colour(y, 1).match(/\d+/g));

function regionHtml(px, py, [x0, x1, y0, y1]) {  // a picture of one pixel a point
  const n = 40, canvas = document.createElement("canvas"), image = new ImageData(n, n);
  const point = (i) => [
    x0 + ((i % n) + 0.5) * (x1 - x0) / n, y1 - (Math.floor(i / n) + 0.5) * (y1 - y0) / n];
  for (let start = 0; start < n * n; start += samples) {
    const some = Array.from({ length: samples }, (_, b) => point(start + b));
    const output = outputFor(array([samples, 2], some.flat()));
    for (let b = 0; b < samples && start + b < n * n; b++) {
      image.data.set([...colourOf(outputOf(b, output)), 110], 4 * (start + b));
    }
  }
  [canvas.width, canvas.height] = [n, n];
  canvas.getContext("2d").putImageData(image, 0, 0);
  const size = `width="${px(x1) - px(x0)}" height="${py(y0) - py(y1)}"`;
  return `<image href="${canvas.toDataURL()}" x="${px(x0)}" y="${py(y1)}" ${size} `
    + 'preserveAspectRatio="none"/>';
}

function showFit() {
  const isHidden = data.output === null || data.x === null || samples === 1;
  $("data-plot").hidden = isHidden;
  if (isHidden) return;
  const x = v[data.x], isPlane = x.shape[1] === 2, isLine = x.data.length === samples;
  const all = [...Array(samples).keys()], name = plain(data.output), isCurve = !isClassifier();
  const across = (b) => (isPlane || isLine ? rowOf(x, b)[0] : b);
  const seen = (b) => (isPlane ? rowOf(x, b)[1] : outputOf(b));
  const wanted = (b) => (isPlane || !isTarget() ? seen(b) : targetOf(b));
  const order = all.toSorted((a, b) => across(a) - across(b));
  const curve = (y, kind) => (
    { points: order.map((b) => [across(b), y(b)]), kind: isPlane ? "" : kind });
  const above = (px, py) => {
    const circle = (b, y, kind, r, fill = "") => (Number.isFinite(y)
      ? `<circle class="${kind}${b === sample ? " sample" : ""}" data-b="${b}" cx="${
        px(across(b))}" cy="${py(y)}" r="${b === sample ? r + 2 : r}" style="${fill}"/>` : "");
    const point = (b) => (
      circle(b, seen(b), "point", 3.5, isTarget() ? `fill:rgb(${colourOf(targetOf(b))})` : ""));
    if (isPlane) return all.map(point).join("");
    const dots = all.map((b) => circle(b, wanted(b), "dot", 2));
    return [...dots, circle(sample, seen(sample), "ring", 3)].join("");
  };
  const right = all.filter((b) => !isCurve && outputOf(b) === targetOf(b)).length;
  const legend = (isCurve ? [-1, 0, 1] : [...new Set(all.map(targetOf))].sort()).map((y) => (
    `<tspan style="fill:rgb(${colourOf(y)})">■</tspan>${y}`)).join(" ");
  const accuracy = isCurve ? "" : `, accuracy ${(100 * right / samples).toFixed(0)} %`;
  const neuron = v[data.output].data.length > samples ? " of neuron 0" : "";
  const shown = isCurve ? name + neuron : "class";
  const yName = isPlane ? `x₁; ${shown}, points y: ${legend}` : `${shown} (line), y (dots)`;
  const xName = isPlane ? "x₀" : isLine ? "x" : "sample";
  const curves = [curve(seen, "output"), curve(wanted, "target")];
  const below = isPlane && canRun ? regionHtml : undefined;
  plot($("fit"), { curves, xName, yName: yName + accuracy, below, above });
  $("sample").value = sample;
  const target = isTarget() ? `, y = ${text(targetOf(sample), 3)}` : "";
  $("sample-text").textContent = (
    `b = ${sample} of ${samples}: ŷ = ${text(outputOf(sample), 3)}${target}`);
}

// The cost over the steps; of many, some.

const MOST_POINTS = 400;
function showTraining() {
  const by = Math.ceil(costs.length / MOST_POINTS), log = costs.every((c) => !(c <= 0));
  $("cost").classList.toggle("empty", !by);
  const points = [...costs, cost()].map((c, i) => [i, c]).filter(([i]) => i % by === 0);
  const yName = `cost C${log ? " (log axis)" : ""}`;
  if (by) plot($("cost"), { curves: [{ points, kind: "cost" }], log, xName: "steps", yName });
}
