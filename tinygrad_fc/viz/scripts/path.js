// The path of a gradient: the chain from C back to a weight of the first layers, for one sample, as
// factors with bars of their product so far; of all paths through the neurons the largest first.

const MOST_PATHS = 300, SHOWN_PATHS = 4;

// The derivatives of a gradient `k` by the gradient of the output of a column: its rules, for ones.
const slopesOf = ({ slope }, k) => (
  replacing(slope, array(v[slope].shape, v[slope].data.map(() => 1)), k));

const linksFrom = (c) => links.filter(({ source }) => source === c);
const isTraceable = (c) => {
  const { d, slope, is_elementwise: isOwn } = columns[c], own = linksFrom(c);
  return isOwn && d !== null && slope !== null
    && own.every(({ kind, target }) => ["weights", "same"].includes(kind) && isTraceable(target));
};

// The weight that the held cell is, or is the gradient of: [the links that have it, element].
function tracedWeight() {
  const isOwn = ({ weight }) => (
    pinned && weight !== null && [weight, data.gradients[weight]].includes(pinned.k));
  const own = links.filter(isOwn);
  const isWhole = own.length > 0 && own.every(({ target }) => isTraceable(target));
  return isWhole ? [own, pinned.element] : null;
}

// The largest paths from a weight to the cost, {product, neurons, factors: [{name, k, e, number}]},
// and whether these are all.
function pathsOf(own, element) {
  const complete = [];
  const bySize = (a, b) => Math.abs(b.product) - Math.abs(a.product);
  const slopes = (c, k) => once(`slopes of ${k} by column ${c}`, () => slopesOf(columns[c], k));
  const cell = (name, k, c, n, x = v[k]) => {
    const e = sample * columns[c].width + n;
    return { name, k, e, number: x.data[e] };
  };
  const times = (path, factor) => ({ ...path, product: path.product * factor.number,
    factors: [factor, ...path.factors] });
  const enter = (path, factor, c, n) => {  // a column by its weighted sums, to its output
    const { d, slope, own: [z] } = columns[c], name = d === slope ? "" : `Act′(${symbol(z)})`;
    const next = times({ ...path, c, n, neurons: [...path.neurons, n] }, factor);
    return times(next, cell(name, d, c, n, slopes(c, d)));
  };
  const onward = (path, link) => {
    const { target: c, kind, weight: k, part } = link, { n } = path;
    if (kind === "same") {
      const factor = cell("skip", part, c, n, slopes(c, part));
      return [times({ ...path, c, neurons: [...path.neurons, `${n} by the skip`] }, factor)];
    }
    return [...Array(columns[c].width).keys()].map((to) => {
      const e = elementOf(link, n, to);
      return enter(path, { name: symbol(k), k, e, number: v[k].data[e] }, c, to);
    });
  };
  let isWhole = true, paths = own.map((link) => {
    const { source, target, weight, is_turned: isTurned } = link, { output: x } = columns[source];
    const m = v[weight].shape[1], ends = [Math.floor(element / m), element % m];
    const [n, i] = isTurned ? ends.reverse() : ends;  // the neuron and its input
    const start = { product: 1, factors: [], neurons: [] };
    return enter(start, cell(symbol(x), x, source, i), target, n);
  });
  while (paths.length) {
    for (const path of paths.filter(({ c }) => !linksFrom(c).length)) {
      const { slope: k } = columns[path.c];
      complete.push(times(path, cell(symbol(k), k, path.c, path.n)));
    }
    paths = paths.flatMap((path) => linksFrom(path.c).flatMap((link) => onward(path, link)));
    isWhole &&= paths.length <= MOST_PATHS;
    paths = paths.toSorted(bySize).slice(0, MOST_PATHS);
  }
  return [complete.toSorted(bySize), isWhole];
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

function pathHtml([own, element]) {
  const [paths, isWhole] = pathsOf(own, element), most = Math.abs(paths[0].product) || 1;
  const total = text(paths.reduce((sum, { product }) => sum + product, 0));
  const rows = paths.slice(0, SHOWN_PATHS).map(({ neurons, product }) => `<li>neurons ${
    neurons.join(" → ")}: ${text(product, 3)} <i style="width:${
    (120 * Math.abs(product) / most).toFixed(0)}px"></i></li>`).join("");
  const sum = isWhole ? `All ${paths.length} paths: ${total}, the gradient of sample ${sample}; ${
    plain(data.gradients[own[0].weight])} adds up the samples.`
    : `The largest ${paths.length} paths of sample ${sample}: ${total}.`;
  return `<div class="ribbon">${ribbonHtml(paths[0])}</div><ol class="paths">${rows}</ol><p>${
    sum}</p>`;
}

function showPath() {
  const weight = tracedWeight();
  $("path-on").hidden = !weight;
  $("path").hidden = !weight || !isOn("path-on");
  $("path").innerHTML = $("path").hidden ? "" : pathHtml(weight);
}
