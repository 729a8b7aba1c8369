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

// A symbol as HTML, with indices below the layer.
function symbol(k, indices = "") {
  const known = data.symbols[k], name = elided(data.labels[k] ?? data.constants[k] ?? "constant");
  if (!known) return `<var>${escaped(name)}</var>${indices && `<sub>${indices}</sub>`}`;
  const { front = "", letter, low, layer, prime = "" } = known;
  const upper = (layer ? `(${layer})` : "") + prime;
  const lower = [low, indices].filter(Boolean).join(" ");
  const scripts = `<span class="scripts"><span>${upper}</span><span>${lower}</span></span>`;
  return `<span class="symbol">${front}<i>${letter}</i>${upper || lower ? scripts : ""}</span>`;
}

const plain = (k) => data.symbols[k]?.plain ?? data.labels[k] ?? "";

function indices(k, element) {
  const next = ([rest, found], n) => [Math.floor(rest / n), [rest % n, ...found]];
  return v[k].shape.reduceRight(next, [element, []])[1].join(",");
}

// A formula in symbols: the number of a value, and texts of Python with numbers between them.
const tidied = (x) => minus(escaped(x)).replaceAll(".T", "<sup>T</sup>").replaceAll(" @ ", " ")
  .replaceAll("np.", "").replaceAll(" * ", " · ").replace(/ \*\* ([\d.]*)/g, "<sup>$1</sup>");
const formulaOf = ([k, parts]) => `${symbol(k)} = ${parts.map((x, i) => (typeof x !== "number"
  ? tidied(x) : parts[i - 1].endsWith(" ** ") ? `<sup>${symbol(x)}</sup>` : symbol(x))).join("")}`;
const titleOf = ({ title, of }, name = plain) => (of === null ? title : `${title}: ${name(of)}`);

// A tree in symbols or in numbers. Each cell is a link to the step that computed it.

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
  const { op, args = [], cell } = tree, isSum = op === "sum";
  const { sign, rank: own } = data.functions[op] ?? {};
  const bracketed = (html, own) => (own < rank ? `(${html})` : html);
  if (!op) {
    const isNumber = cell === undefined || inNumbers;
    const shown = isNumber ? text(tree.number) : symbol(cell, indices(cell, tree.element));
    const html = shown.startsWith("−") ? bracketed(shown, 0) : shown;
    const link = `<a role="button" data-k="${cell}" data-e="${tree.element}"`;
    return cell === undefined ? html : `${link}${inNumbers ? "" : ' tabindex="0"'}>${html}</a>`;
  }
  if (sign) {
    const right = own + (op === "subtract" || op === "divide" ? 0.5 : 0);
    const [a, b] = [written(args[0], inNumbers, own), written(args[1], inNumbers, right)];
    return bracketed(a + sign + b, own);
  }
  if (op === "negative") return bracketed(`−${written(args[0], inNumbers, 2)}`, 1.5);
  if (op === "square") return `${written(args[0], inNumbers, 5)}²`;
  const some = shownTerms(args), shown = some.map((x) => written(x, inNumbers, Number(isSum)));
  if (some.length < args.length) shown.push(`… ${args.length - some.length} smaller`);
  if (isSum) return bracketed(shown.join(" + "), 1);
  return `${op}(${shown.join(", ")})`;
}
