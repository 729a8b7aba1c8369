// How a cell was computed: a tree of {op, args, number}, {cell: k, element, number} and {number}.
// The number of a tree is computed from those of its leaves, as the program does it.

// The program as a graph: it runs once over symbols. A node is {k} or {k, name, args}.

const graph = [];
for (const k of stored) graph[k] = { k };
finished(runProgram(graph, new Proxy({}, { get: (_, name) => (...args) => ({ name, args }) })));
graph.forEach((node, k) => {
  const inner = node.name === "float32" ? node.args[0] : null;
  if (inner?.name && inner.k === undefined) Object.assign(node, inner, { rounded: true });
  node.k = k;
});

const isRounded = graph.some((node) => node?.rounded);
const isNode = (x) => x !== null && typeof x === "object" && "k" in x;

function dependentsOf(numbers) {  // values that are computed from some, and these
  const dependent = new Set(numbers);
  for (const { k, args = [] } of graph.filter(Boolean)) {
    if (args.flat(2).some((x) => isNode(x) && dependent.has(x.k))) dependent.add(k);
  }
  return dependent;
}
const dependsOnBatch = dependentsOf([data.x, data.y]);
const updated = new Set(steps.filter(({ phase }) => phase === "update")
  .flatMap(({ between, writes }) => [...between, writes]));
const isAggregate = (k) => k in parameterOf || updated.has(k);
// Values with a row for each sample: computed from input and target before any update.
const isBatch = (k) => samples > 1 && dependsOnBatch.has(k) && !isAggregate(k)
  && v[k].shape[0] === samples && v[k].shape.length < 3;
const widthOf = (k) => v[k].shape[1] ?? 1;
const sampleOf = (k, element) => (isBatch(k) ? Math.floor(element / widthOf(k)) : null);

const resolved = (x, value) => (isNode(x) ? value(x)
  : Array.isArray(x) ? x.map((y) => resolved(y, value)) : x);
const valueOf = (x) => (typeof x === "number" ? array([], [x]) : v[x.k]);

// A value with others in the place of those in `known`; in evaluation without dropout.
function evaluated(node, known, isEvaluation = false) {
  if (typeof node === "number") return node;
  if (!known.has(node.k)) {
    const inner = (y) => evaluated(y, known, isEvaluation);
    const own = isEvaluation ? inEvaluation(node.k, (k) => inner(graph[k])) : undefined;
    const isCall = !own && node.name && node.name !== "rngCall";
    const x = isCall ? R[node.name](...node.args.map((y) => resolved(y, inner))) : own ?? v[node.k];
    known.set(node.k, node.rounded ? R.float32(x) : x);
  }
  return known.get(node.k);
}

// What is computed once until numbers change, by node or name.
let computed = new Map();
function once(key, compute) {
  if (!computed.has(key)) computed.set(key, compute());
  return computed.get(key);
}

// Functions that only move cells, from their first and third argument, run over numbers of cells.
const numbered = ({ shape }) => array(shape, Array(sizeOf(shape)).keys());

function moved(node, element) {  // the argument, and its cell, that arrives at `element`
  const { ids, starts } = once(node, () => {
    const starts = [];  // of each argument the number of its first cell
    let count = 0;
    const number = (x) => {
      starts.push([x, count]);
      const { shape, data: numbers } = valueOf(x);
      return array(shape, numbers.map(() => count++));
    };
    const args = node.args.map((x, i) => (i === 1 ? resolved(x, valueOf)
      : Array.isArray(x) ? x.map(number) : number(x)));
    return { ids: R[node.name](...args).data, starts };
  });
  const [x, start] = starts.findLast(([, first]) => first <= ids[element]);
  return [x, ids[element] - start];
}

// The cells of an argument along the axes of a reduction, by cell of the result.
function lines(node) {
  return once(node, () => {
    const [x, { axis }] = node.args, value = valueOf(x);
    const to = R.broadcast(numbered(R.max(value, { axis, keepdims: true })), value.shape);
    const found = [];
    to.data.forEach((cell, i) => (found[cell] ??= []).push(i));
    return { found, to: to.data };
  });
}

// For each cell of an elementwise result, the cell of `x` that it is computed from.
const spread = (x, shape) => R.broadcast(numbered(valueOf(x)), shape).data;

const numberOf = (x) => x.number;
const total = (args) => args.reduce((sum, x) => sum + x.number, 0);
const scalar = (op, args) => ({ op, args, number: R[op](...args.map(numberOf)).data[0] });
const row = (args) => array([args.length], args.map(numberOf));
const sum = (args) => (args.length === 1 ? args[0] : { op: "sum", args, number: total(args) });

function product(a, b) {
  const isOne = (x) => !x.op && x.cell === undefined && x.number === 1;
  if (isOne(a) || isOne(b)) return isOne(a) ? b : a;
  return scalar("multiply", [a, b]);
}

function added(a, b) {  // a bias is one more term of the sum
  const { number } = scalar("add", [a, b]), [whole, term] = a.op === "sum" ? [a, b] : [b, a];
  if (whole.op !== "sum" || term.op === "sum") return { op: "add", args: [a, b], number };
  return { op: "sum", args: [...whole.args, term], number };
}

function whole({ k, name, args: [x] }, element, inner) {  // a function of all cells of `x`
  const args = Array.from(valueOf(x).data, (_, i) => inner(x, i));
  return { op: name, args, number: v[k].data[element] };
}

// What the runtime's functions compute a cell from; `inner(x, i)` is the tree of a cell of `x`.
const EXPANDED = {
  dot: ({ args: [a, b] }, element, inner) => {
    const [p, q] = [valueOf(a).shape, valueOf(b).shape];
    const n = p.at(-1), m = q.length > 1 ? q[1] : 1, i = Math.floor(element / m);
    const isScalar = !p.length || !q.length;
    if (isScalar) return product(inner(a, p.length && element), inner(b, q.length && element));
    const factors = (t) => product(inner(a, i * n + t), inner(b, t * m + (element % m)));
    return sum(Array.from({ length: n }, (_, t) => factors(t)));
  },
  vdot: ({ args: [a, b] }, _, inner) => sum(Array.from(
    valueOf(a).data, (_, i) => product(inner(a, i), inner(b, i)))),
  addAt: ({ args: [x, at, value] }, element, inner) => {
    const to = R.getitem(numbered(valueOf(x)), resolved(at, valueOf));
    const from = [...to.data.keys()].filter((i) => to.data[i] === element);
    const cells = spread(value, to.shape);
    return sum([inner(x, element), ...from.map((i) => inner(value, cells[i]))]);
  },
  cast: ({ args: [x, dtype] }, element, inner) => {
    const tree = inner(x, element), number = R.cast(tree.number, dtype).data[0];
    return Object.is(number, tree.number) ? tree : { op: dtype, args: [tree], number };
  },
  full: ({ args: [, x] }, _, inner) => inner(x, 0),
  zeros: () => ({ number: 0 }), ones: () => ({ number: 1 }), rngCall: () => null,
  norm: whole, cumsum: whole, argsort: whole,
};
function reduced(node, element, inner) {
  const { name, args: [x, { initial }] } = node;
  const args = (lines(node).found[element] ?? []).map((i) => inner(x, i));
  if (initial !== undefined) args.unshift({ number: Number(initial) });
  if (name === "sum") return args.length ? sum(args) : { number: 0 };
  return { op: name, args, number: R[name](row(args)).data[0] };
}
const BY_CELLS = {
  reduced, moved: (node, element, inner) => inner(...moved(node, element)),
};

function elementwise(node, element, inner) {
  const { k, name, args } = node;
  const cells = once(node, () => args.map((x) => spread(x, v[k].shape)));
  const trees = args.map((x, i) => inner(x, cells[i][element]));
  if (name === "multiply") return product(...trees);
  return name === "add" ? added(...trees) : scalar(name, trees);
}

// Functions of trees and numbers, as those of `R` of arrays.
const TREES = new Proxy({}, { get: (_, op) => (...args) => (
  scalar(op, args.map((x) => (typeof x === "number" ? { number: x } : x)))) });

const leafOf = (k, element) => ({ cell: k, element, number: v[k].data[element] });

// The tree of a cell over the cells of the values in `known`.
function expand(node, element, known) {
  if (typeof node === "number") return { number: node };
  const leaf = leafOf(node.k, element);
  if (known.has(node.k)) return leaf;
  if (!node.name) return data.labels[node.k] === undefined ? { number: leaf.number } : leaf;
  const inner = (x, i) => expand(x, i, known);
  const same = (k) => inner(graph[k], spread(graph[k], v[node.k].shape)[element]);
  const other = isEvaluating && inEvaluation(node.k, same, TREES);
  if (other) return other;
  const how = EXPANDED[node.name] ?? BY_CELLS[data.functions[node.name]?.cells] ?? elementwise;
  const tree = how(node, element, inner);
  if (!tree) return leaf;
  return node.rounded ? { ...tree, number: Math.fround(tree.number) } : tree;
}

const leavesOf = (tree) => (
  tree.cell !== undefined ? [tree] : (tree.args ?? []).flatMap(leavesOf));

// What a step computes a value from: what it reads, and what it has computed by then.
function knownFor(k, step) {
  const { reads, between, writes } = step, other = isEvaluating && data.evaluation[k];
  if (other) return new Set(other.slice(0, 3));
  if (k === writes) return new Set([...reads, ...between]);
  if (between.includes(k)) return new Set([...reads, ...between.slice(0, between.indexOf(k))]);
  const own = steps[stepOf(k)];
  return own ? knownFor(k, own) : new Set([k]);
}

const stepNumbers = new Map(steps.map(({ writes }, n) => [writes, n]).reverse());
const stepOf = (k) => stepNumbers.get(k) ?? -1;

// Value `k` with another array in the place of value `from`; what `isFixed` stays as it is.
function replacing(from, x, k, isFixed = () => false, isEvaluation = false) {
  const known = new Map([[from, x]]), dependent = dependentsOf([from]);
  v.forEach((value, other) => {
    if (other !== from && (!dependent.has(other) || isFixed(other))) known.set(other, value);
  });
  return evaluated(graph[k], known, isEvaluation);
}

// The part of one sample: a vjp rule is linear in its cotangent, so it runs over that row alone.
function partOf({ writes }, cotangent, b) {
  const { shape, data: all } = v[cotangent], width = all.length / shape[0];
  const row = all.map((y, i) => (Math.floor(i / width) === b ? y : 0));
  return replacing(cotangent, array(shape, row), writes);
}

// The output for other inputs, without dropout. What has no row for each sample, such as the
// statistics of batch norm, stays as it is.
const outputFor = (x) => replacing(data.x, x, data.output, (k) => !isBatch(k), true);
