// The network as neurons and edges, with the numbers of the chosen sample as the pass proceeds.

const MOST_NEURONS = 12, { layers } = data;

// The neurons of a column that are drawn.
const neurons = (k) => [...Array(Math.min(v[k].shape.at(-1), MOST_NEURONS)).keys()];

// What columns and edges show, and whether it is computed by now; `own` are the values whose cells
// they stand for.
function networkValues() {
  const { phase } = steps[at], isDone = (k) => stepOf(k) >= 0 && stepOf(k) <= at;
  const columns = layers.map(({ output, sums, d, bias }) => {
    const k = phase === "backward" && d !== null ? d : output;
    const biases = [bias, data.gradients[bias], newOf[bias]];
    return { k, isKnown: isDone(k), own: [sums, output, d], biases };
  });
  const edges = layers.map(({ weight }) => {
    const own = [weight, data.gradients[weight], newOf[weight]];
    const wanted = { backward: own[1], update: own[2] }[phase] ?? weight, isKnown = isDone(wanted);
    return { k: isKnown ? wanted : weight, isKnown: isKnown || phase !== "backward", own };
  });
  const { input } = layers[0];
  return { columns: [{ k: input, isKnown: true, own: [input], biases: [] }, ...columns], edges };
}

function showNetwork() {
  const svg = $("network-svg");
  if (!layers.length || svg.closest("[hidden]")) return;
  const { columns, edges } = networkValues(), here = hovered ?? pinned;
  const current = new Set([steps[at].writes, ...steps[at].reads]);
  const width = svg.clientWidth || 360, height = svg.clientHeight || 400;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const shapes = columns.map(({ own }) => neurons(own[0]));
  const gap = (height - 44) / Math.max(...shapes.map((s) => s.length));
  const r = Math.min(19, gap * 0.42, width / shapes.length / 3.4);
  svg.style.fontSize = `${Math.min(11, 0.62 * r)}px`;
  const px = (c) => r + 8 + (c * (width - 2 * r - 16)) / (shapes.length - 1);
  const py = (c, i) => 34 + (height - 44) / 2 + (i - (shapes[c].length - 1) / 2) * gap;
  const isLit = (own, e) => own.some((k) => isCell(here, k, e) || litCells.has(`${k},${e}`));
  let [lines, circles] = ["", ""];
  edges.forEach(({ k, isKnown, own }, l) => {
    const x = v[k], most = largest(x), isAside = !own.some((other) => current.has(other));
    shapes[l + 1].forEach((j, to) => shapes[l].forEach((i, from) => {
      const e = j * x.shape[1] + i, value = x.data[e], sign = value < 0 ? "minus" : "plus";
      const kind = `${isKnown ? sign : "unknown"} ${isAside ? "aside" : ""}`;
      const place = `x1="${px(l)}" y1="${py(l, from)}" x2="${px(l + 1)}" y2="${py(l + 1, to)}"`;
      const wide = 0.5 + (most ? (5 * Math.abs(value)) / most : 0);
      lines += `<g data-k="${k}" data-e="${e}" class="edge ${kind} ${isLit(own, e) ? "lit" : ""}">`
        + `<line ${place} stroke-width="${wide.toFixed(2)}"/><line class="target" ${place}/>`
        + `<title>${plain(k)} [${j}, ${i}] = ${text(value)}</title></g>`;
    }));
  });
  columns.forEach(({ k, isKnown, own, biases }, c) => {
    const x = v[k], n = x.shape.at(-1), most = largest(x);
    circles += `<text class="head" x="${px(c)}" y="14">${plain(k)}</text>`;
    const rest = n > MOST_NEURONS ? `+ ${n - MOST_NEURONS}` : "";
    circles += `<text class="head" x="${px(c)}" y="${height - 1}">${rest}</text>`;
    shapes[c].forEach((j, i) => {
      const place = `x="${px(c)}" y="${py(c, i) + 3.5}"`, e = sample * n + j, value = x.data[e];
      const lit = isLit(own, e) || isLit(biases, j) ? "lit" : "";
      const name = `${plain(k)} [${sample}, ${j}]${isKnown ? ` = ${text(value)}` : ", later"}`;
      circles += `<g class="neuron ${lit}" data-k="${k}" data-e="${e}" tabindex="0" `
        + `role="button" aria-label="${name}"><circle cx="${px(c)}" cy="${py(c, i)}" r="${
          r.toFixed(1)}" style="fill:${isKnown ? colour(value, most) : "var(--panel)"}"/><text ${
          place}>${isKnown && r > 9 ? short(value) : ""}</text><title>${name}</title></g>`;
    });
  });
  const focused = document.activeElement?.closest?.("#network-svg g");
  svg.innerHTML = lines + circles;
  if (focused) svg.querySelector(`g.neuron[data-e="${focused.dataset.e}"]`)?.focus();
}
