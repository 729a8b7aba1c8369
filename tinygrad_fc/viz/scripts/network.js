// The network as neurons and edges, with the numbers of the chosen sample as the pass proceeds.

const MOST_NEURONS = 12;
const { layers } = data;

function neurons(k) {  // those of a column that are drawn; null is the gap
  const some = [...Array(v[k].shape.at(-1)).keys()];
  return some.length <= MOST_NEURONS ? some : [...some.slice(0, 7), null, ...some.slice(-4)];
}

// What columns and edges show in a phase, and whether it is computed by now.
function networkValues() {
  const { phase } = steps[at], isBackward = phase === "backward";
  const isDone = (k) => k !== null && k !== undefined && stepOf(k) >= 0 && stepOf(k) <= at;
  const input = { k: layers[0].input, isKnown: true };
  const columns = layers.map(({ output, sums, d }) => {
    const k = isBackward && d !== null ? d : output;
    return { k, isKnown: isDone(k), own: [sums, output, d] };
  });
  const edges = layers.map(({ weight }) => {
    const gradient = data.gradients[weight], changed = newOf[weight];
    if (isBackward) return { k: gradient ?? weight, weight, isKnown: isDone(gradient) };
    return { k: phase === "update" && isDone(changed) ? changed : weight, weight, isKnown: true };
  });
  return { columns: [{ ...input, own: [input.k] }, ...columns], edges, isBackward };
}

function showNetwork() {
  const svg = $("network-svg");
  if (!layers.length || svg.closest("[hidden]")) return;
  const { columns, edges, isBackward } = networkValues();
  const current = new Set([steps[at].writes, ...steps[at].reads]);
  const width = svg.clientWidth || 360, height = svg.clientHeight || 400;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const shapes = [layers[0].input, ...layers.map(({ sums }) => sums)].map(neurons);
  const gap = (height - 44) / Math.max(...shapes.map((s) => s.length));
  const r = Math.min(19, gap * 0.42, width / shapes.length / 3.4);
  const px = (c) => r + 8 + (c * (width - 2 * r - 16)) / (shapes.length - 1);
  const py = (c, i) => 34 + (height - 44) / 2 + (i - (shapes[c].length - 1) / 2) * gap;
  const here = hovered ?? pinned;
  const isLit = (k, e) => isCell(here, k, e) || litCells.has(`${k},${e}`);
  let [lines, circles] = ["", ""];
  edges.forEach(({ k, weight, isKnown }, l) => {
    const shown = isKnown ? k : weight, x = v[shown], most = largest(x), inputs = x.shape[1];
    const isAside = ![k, weight, newOf[weight]].some((own) => current.has(own));
    shapes[l + 1].forEach((j, to) => shapes[l].forEach((i, from) => {
      if (i === null || j === null) return;
      const e = j * inputs + i, value = x.data[e];
      const kinds = ["edge", !isKnown ? "unknown" : value < 0 ? "minus" : "plus"];
      const lit = [k, weight, newOf[weight]].some((own) => isLit(own, e));
      kinds.push(isAside && "aside", lit && "lit");
      const place = `x1="${px(l)}" y1="${py(l, from)}" x2="${px(l + 1)}" y2="${py(l + 1, to)}"`;
      const wide = 0.5 + (most ? (5 * Math.abs(value)) / most : 0);
      lines += `<g data-k="${shown}" data-e="${e}" class="${kinds.filter(Boolean).join(" ")}">`
        + `<line ${place} stroke-width="${wide.toFixed(2)}"/><line class="target" ${place}/>`
        + `<title>${plain(shown)} [${j}, ${i}] = ${text(value)}</title></g>`;
    }));
  });
  columns.forEach(({ k, isKnown, own }, c) => {
    const x = v[k], n = x.shape.at(-1), most = largest(x), layer = layers[c - 1];
    const biases = layer ? [layer.bias, data.gradients[layer.bias], newOf[layer.bias]] : [];
    circles += `<text class="head" x="${px(c)}" y="14">${plain(k)}</text>`;
    shapes[c].forEach((j, i) => {
      const place = `x="${px(c)}" y="${py(c, i) + 3.5}"`, e = sample * n + j, value = x.data[e];
      if (j === null) { circles += `<text class="head" ${place}>⋮</text>`; return; }
      const lit = own.some((key) => isLit(key, e)) || biases.some((key) => isLit(key, j));
      const name = `${plain(k)} [${sample}, ${j}]${isKnown ? ` = ${text(value)}` : ", later"}`;
      circles += `<g class="neuron${lit ? " lit" : ""}" data-k="${k}" data-e="${e}" tabindex="0" `
        + `role="button" aria-label="${name}"><circle cx="${px(c)}" cy="${py(c, i)}" r="${
          r.toFixed(1)}" style="fill:${isKnown ? colour(value, most) : "var(--panel)"}"/><text ${
          place}>${isKnown && r > 9 ? short(value) : ""}</text><title>${name}</title></g>`;
    });
  });
  const focused = document.activeElement?.closest?.("#network-svg g");
  svg.innerHTML = lines + circles;
  if (focused) svg.querySelector(`g.neuron[data-e="${focused.dataset.e}"]`)?.focus();
  const [circle, line] = isBackward ? ["d", "∂C/∂W of the batch"] : ["y", "W, then W′"];
  $("network-caption").textContent = `circles: ${circle} of the sample; lines: ${line}; so far`;
}

