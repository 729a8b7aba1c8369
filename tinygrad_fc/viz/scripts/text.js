// Numbers, names of values, and computations as text and as HTML.

const elided = (x) => (x.length > 24 ? `${x.slice(0, 5)}…${x.slice(-14)}` : x);
const minus = (x) => x.replaceAll("-", "−");
const escaped = (x) => x.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function text(x, digits = 4) {
  if (!Number.isFinite(x)) return minus(String(x));
  const size = Math.abs(x);
  if (Number.isInteger(x) && size < 1e5) return minus(String(x));
  return minus(size >= 1e5 || size < 1e-3 ? x.toExponential(digits - 2) : x.toPrecision(digits));
}

function short(x) {  // five characters at most
  const size = Math.abs(x);
  if (Number.isInteger(x) && size < 1000) return minus(String(x));
  if (size < 0.01 || size >= 1000) return minus(x.toExponential(0)).replace("+", "");
  return minus(x.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0)).replace(/^(−?)0\./, "$1.");
}

// Orange for positive, blue for negative, white for zero; the sign stands in the digits, too.
function colour(x, most) {
  const share = most && Number.isFinite(x) ? Math.min(1, Math.abs(x) / most) ** 0.8 : 0;
  const [r, g, b] = x < 0 ? [86, 165, 216] : [235, 145, 70];
  const mix = (c) => Math.round(245 + (c - 245) * share);
  return `rgb(${mix(r)},${mix(g)},${mix(b)})`;
}

// A symbol such as m_W^2′ as HTML, with indices below the layer.
const SYMBOL = /^(∂C\/∂|Δ)?([^_^′]+)(?:_([^^′]+))?(?:\^(\d+))?(′)?$/;
function symbol(k, indices = "") {
  const parts = data.symbols[k]?.match(SYMBOL);
  const name = elided(data.labels[k] ?? "constant");
  if (!parts) return `<var>${escaped(name)}</var>${indices && `<sub>${indices}</sub>`}`;
  const [, front = "", letter, low, layer, prime = ""] = parts;
  const upper = (layer ? `(${layer})` : "") + prime;
  const lower = [low, indices].filter(Boolean).join(" ");
  const scripts = `<span class="scripts"><span>${upper}</span><span>${lower}</span></span>`;
  return `<span class="symbol">${front}<i>${letter}</i>${upper || lower ? scripts : ""}</span>`;
}

const plain = (k) => (data.symbols[k] ?? data.labels[k] ?? "")
  .replace(/\^(\d+)/, (_, n) => `⁽${[...n].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("")}⁾`);

function indices(k, element) {
  const next = ([rest, found], n) => [Math.floor(rest / n), [rest % n, ...found]];
  return v[k].shape.reduceRight(next, [element, []])[1].join(",");
}

// A line of the program in symbols.
function inSymbols(line) {
  const known = new Map(Object.keys(data.symbols).map((k) => [data.labels[k], k]));
  const tidied = minus(escaped(line).replaceAll(".T", "<sup>T</sup>").replaceAll(" @ ", " ")
    .replaceAll("np.", "").replaceAll(" * ", " · ").replaceAll("ones ", "1<sup>T</sup> "));
  return tidied.replace(/(new |∂C\/∂)?[a-z_]\w*/gi, (name) => (
    known.has(name) ? symbol(known.get(name)) : name));
}

// A tree in symbols or in numbers. Each cell is a link to the step that computed it.

const INFIX = {  // sign and rank
  add: [" + ", 1], subtract: [" − ", 1], multiply: ["·", 2], divide: [" / ", 2], power: ["^", 4],
  equal: [" = ", 0], not_equal: [" ≠ ", 0], less: [" < ", 0], less_equal: [" ≤ ", 0],
  greater: [" > ", 0], greater_equal: [" ≥ ", 0],
};

// The terms of a sum that are shown: of many the largest, and those of the chosen sample.
const MOST_TERMS = 9;
function shownTerms(args, isChosen = () => false) {
  if (args.length <= MOST_TERMS) return args;
  const bySize = args.toSorted((a, b) => Math.abs(b.number) - Math.abs(a.number));
  const first = [...args.filter(isChosen), ...bySize.filter((x) => !isChosen(x))];
  const shown = new Set(first.slice(0, MOST_TERMS - 3));
  return args.filter((x) => shown.has(x));
}

function written(tree, inNumbers, rank = 0) {
  const { op, args = [], cell } = tree, infix = INFIX[op], isSum = op === "sum";
  const bracketed = (html, own) => (own < rank ? `(${html})` : html);
  if (!op) {
    const isNumber = cell === undefined || inNumbers;
    const shown = isNumber ? text(tree.number) : symbol(cell, indices(cell, tree.element));
    const html = shown.startsWith("−") ? bracketed(shown, 0) : shown;
    const link = `<a role="button" data-k="${cell}" data-e="${tree.element}"`;
    return cell === undefined ? html : `${link}${inNumbers ? "" : ' tabindex="0"'}>${html}</a>`;
  }
  if (infix) {
    const [sign, own] = infix, right = own + (op === "subtract" || op === "divide" ? 0.5 : 0);
    const [a, b] = [written(args[0], inNumbers, own), written(args[1], inNumbers, right)];
    return bracketed(a + sign + b, own);
  }
  if (op === "negative") return bracketed(`−${written(args[0], inNumbers, 2)}`, 1.5);
  if (op === "square") return `${written(args[0], inNumbers, 5)}²`;
  const some = shownTerms(args), shown = some.map((x) => written(x, inNumbers, Number(isSum)));
  if (some.length < args.length) shown.push(`… ${args.length - some.length} smaller`);
  if (isSum) return bracketed(shown.join(" + "), 1);
  return `${op}(${shown.join(", ")})${op === "argsort" ? `<sub>${tree.rank}</sub>` : ""}`;
}
