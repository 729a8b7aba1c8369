// The path of a gradient: the chain from C back to a weight of the first layers, for one sample, as
// factors with bars of their product so far; of all paths through the neurons the largest first.

const MOST_PATHS = 300, SHOWN_PATHS = 4;
let isTracing = false;

// The derivatives of the activation functions of a column: its rule, for gradients of 1.
function slopesOf({ d, slope }) {
  const ones = array(v[d].shape, v[d].data.map(() => 1));
  if (d === slope) return ones;
  const dependent = new Set([slope]);
  for (const { k, args = [] } of graph.filter(Boolean)) {
    if (args.flat(2).some((x) => isNode(x) && dependent.has(x.k))) dependent.add(k);
  }
  const known = new Map([[slope, ones]]);
  v.forEach((x, k) => { if (!dependent.has(k)) known.set(k, x); });
  return evaluated(graph[d], known);
}

const isTraceable = ({ d, slope, is_elementwise: isOwn }) => isOwn && d !== null && slope !== null;

// The weight that the held cell is, or is the gradient of: [number of its link, element].
function tracedWeight() {
  if (!pinned || !data.network?.is_chain) return null;
  const own = ({ weight }) => [weight, data.gradients[weight]].includes(pinned.k);
  const l = links.findIndex(own);
  return l >= 0 && columns.slice(l + 1).every(isTraceable) ? [l, pinned.element] : null;
}

// The largest paths from a weight to the cost: {product, factors: [{name, k, e, number}]}.
function pathsOf(l, element) {
  const { source, weight } = links[l], inputs = columns[source].width;
  const [i, j] = links[l].is_turned ? [Math.floor(element / v[weight].shape[1]),
    element % v[weight].shape[1]] : [element % inputs, Math.floor(element / inputs)];
  const e = (c, n) => sample * columns[c].width + n, { output: x } = columns[source];
  const slopes = columns.map((c, n) => (n > l ? slopesOf(c) : null));
  const slope = (c, n) => ({
    name: columns[c].d === columns[c].slope ? "" : `Act′(${symbol(columns[c].own[0])})`,
    k: columns[c].d, e: e(c, n), number: slopes[c].data[e(c, n)] });
  let paths = [{ n: j, product: v[x].data[e(l, i)], factors: [
    { name: symbol(x), k: x, e: e(l, i), number: v[x].data[e(l, i)] }] }];
  const times = ({ product, factors }, n, factor) => (
    { n, product: product * factor.number, factors: [factor, ...factors] });
  for (let c = l + 1; c < columns.length; c++) {
    paths = paths.map((path) => times(path, path.n, slope(c, path.n)));
    const link = links[c], next = link ? [...Array(columns[c + 1].width).keys()] : [];
    if (!link) break;
    paths = paths.flatMap((path) => next.map((n) => {
      const at = elementOf(link, path.n, n), k = link.weight;
      return times(path, n, { name: symbol(k), k, e: at, number: v[k].data[at] });
    })).toSorted((a, b) => Math.abs(b.product) - Math.abs(a.product)).slice(0, MOST_PATHS);
  }
  const { slope: k } = columns.at(-1), last = columns.length - 1;
  return paths.map((path) => times(path, path.n, {
    name: symbol(k), k, e: e(last, path.n), number: v[k].data[e(last, path.n)] }))
    .toSorted((a, b) => Math.abs(b.product) - Math.abs(a.product));
}

function ribbonHtml({ factors, product }) {
  let so = 1;
  const shown = factors.filter(({ name }) => name);
  const products = shown.map(({ number }) => Math.abs(so *= number)), most = Math.max(...products);
  const height = (x) => (x ? Math.max(2, 34 * (1 + Math.log10(x / most) / 6)) : 1);
  return shown.map(({ name, k, e, number }, n) => `<span class="factor"><i style="height:${
    height(products[n]).toFixed(0)}px" title="product so far: ${text(products[n])}"></i>`
    + `<a role="button" tabindex="0" data-k="${k}" data-e="${e}">${name}<br><code>${
      text(number, 3)}</code></a></span>`).join("·") + ` = <b>${text(product)}</b>`;
}

function pathHtml([l, element]) {
  const paths = pathsOf(l, element), { width } = columns[l + 1];
  const count = columns.slice(l + 2).reduce((n, c) => n * c.width, 1);
  const j = Math.floor(element / columns[l].width), i = element % columns[l].width;
  const d = v[columns[l + 1].d].data[sample * width + j];
  const total = d * v[columns[l].output].data[sample * columns[l].width + i];
  const most = Math.abs(paths[0].product) || 1;
  const way = ({ factors }) => factors.filter(({ k }) => k in data.gradients)
    .map(({ k, e }) => indices(k, e).split(",")[0]).reverse().join(" → ");
  const rows = paths.slice(0, SHOWN_PATHS).map((path) => `<li>${l + 2 < columns.length
    ? `neurons ${j} → ${way(path)}` : `neuron ${j}`}: ${text(path.product, 3)} <i style="width:${
    (120 * Math.abs(path.product) / most).toFixed(0)}px"></i></li>`).join("");
  return `<div class="ribbon">${ribbonHtml(paths[0])}</div><ol class="paths">${rows}</ol><p>All ${
    count} paths: ${text(total)}, the gradient of sample ${sample}; ${
    plain(data.gradients[links[l].weight])} adds up the samples.</p>`;
}

function showPath() {
  const weight = tracedWeight();
  $("path-on").hidden = !weight;
  $("path-on").setAttribute("aria-pressed", isTracing);
  $("path").hidden = !weight || !isTracing;
  $("path").innerHTML = weight && isTracing ? pathHtml(weight) : "";
}
