// NumPy's functions for programs of fully connected networks. An array is {shape, data}, data flat
// in C order; a number stands for an array of no axes. They change no argument, but for float32,
// which rounds in place, and rngCall, which advances a generator.
"use strict";
const R = (() => {
  const make = (shape, data) => ({ shape, data });
  const size = (shape) => shape.reduce((n, m) => n * m, 1);
  const wrap = (x) => (typeof x === "object" ? x : make([], Float64Array.of(Number(x))));
  const strides = (shape) => shape.map((_, k) => size(shape.slice(k + 1)));
  const broadcastShape = (shapes) => {
    const axes = Math.max(...shapes.map((s) => s.length));
    return Array.from({ length: axes }, (_, k) =>
      shapes.map((s) => s[k - axes + s.length] ?? 1).reduce((n, m) => (n === 1 ? m : n), 1));
  };
  // Offsets into `x` of each element of the result of shape `shape`; null where they are the same.
  const offsets = (x, shape) => {
    if (x.shape.length === shape.length && x.shape.every((n, k) => n === shape[k])) return null;
    const steps = strides(x.shape), missing = shape.length - x.shape.length;
    const isRepeated = (k) => k < missing || x.shape[k - missing] === 1;
    return walk(shape, shape.map((_, k) => (isRepeated(k) ? 0 : steps[k - missing])));
  };
  const gather = (data, at) => {
    const out = new Float64Array(at.length);
    for (let i = 0; i < at.length; i++) out[i] = data[at[i]];
    return out;
  };
  const walk = (shape, step) => {
    const out = new Int32Array(size(shape)), at = Array(shape.length).fill(0);
    for (let i = 0, here = 0; i < out.length; i++) {
      out[i] = here;
      for (let k = shape.length - 1; k >= 0; k--) {
        here += step[k];
        if (++at[k] < shape[k]) break;
        here -= step[k] * shape[k];
        at[k] = 0;
      }
    }
    return out;
  };
  const elementwise = (f) => (...args) => {
    const xs = args.map(wrap), shape = broadcastShape(xs.map((x) => x.shape)), n = size(shape);
    const out = new Float64Array(n), [a, b, c] = xs.map((x) => x.data);
    if (xs.every((x) => x.data.length === n || x.data.length === 1)) {  // no walk over offsets
      const [p, q, r] = xs.map((x) => Number(x.data.length > 1));
      for (let i = 0; i < n; i++) out[i] = f(a[p * i], b && b[q * i], c && c[r * i]);
      return make(shape, out);
    }
    const [p, q, r] = xs.map((x) => offsets(x, shape));
    for (let i = 0; i < n; i++) {
      out[i] = f(a[p ? p[i] : i], b && b[q ? q[i] : i], c && c[r ? r[i] : i]);
    }
    return make(shape, out);
  };
  const extreme = (pick) => (a, b) => (Number.isNaN(a) || Number.isNaN(b) ? NaN : pick(a, b));
  // erf by its Taylor series near 0, erfc by its continued fraction from 1.5 on.
  const erf = (x) => {
    if (Math.abs(x) > 1.5) return Math.sign(x) * (1 - erfc(Math.abs(x)));
    let term = x, sum = x;
    for (let k = 1; k < 40; k++) sum += (term *= -x * x / k) / (2 * k + 1);
    return 2 / Math.sqrt(Math.PI) * sum;
  };
  const erfc = (x) => {
    if (x <= 1.5) return 1 - erf(x);
    let tail = x;
    for (let k = 120; k > 0; k--) tail = x + k / 2 / tail;
    return Math.exp(-x * x) / Math.sqrt(Math.PI) / tail;
  };
  const ndtr = (x) => erfc(-x * Math.SQRT1_2) / 2;
  const isBelow = (a, b) => a % b && (a % b < 0) !== (b < 0);  // floor below trunc
  const { cos, cosh, exp, expm1, log, log10, log1p, log2, sign, sin, sinh, sqrt, tan, tanh } = Math;
  const functions = {
    cos, cosh, exp, expm1, log, log10, log1p, log2, sign, sin, sinh, sqrt, tan, tanh, erf, ndtr,
    absolute: Math.abs, exp2: (a) => 2 ** a, float32: Math.fround, isfinite: Number.isFinite,
    isnan: Number.isNaN, negative: (a) => -a, positive: (a) => a, reciprocal: (a) => 1 / a,
    square: (a) => a * a, add: (a, b) => a + b, subtract: (a, b) => a - b,
    multiply: (a, b) => a * b, divide: (a, b) => a / b, power: (a, b) => a ** b,
    floor_divide: (a, b) => (b ? Math.round((a - a % b) / b - isBelow(a, b)) : a / b),
    remainder: (a, b) => (isBelow(a, b) ? (a % b) + b : a % b),
    equal: (a, b) => a === b, not_equal: (a, b) => a !== b, greater: (a, b) => a > b,
    greater_equal: (a, b) => a >= b, less: (a, b) => a < b, less_equal: (a, b) => a <= b,
    logical_and: (a, b) => !!(a && b), logical_or: (a, b) => !!(a || b), logical_not: (a) => !a,
    bitwise_and: (a, b) => a & b, bitwise_or: (a, b) => a | b, where: (c, a, b) => (c ? a : b),
    maximum: extreme(Math.max), minimum: extreme(Math.min),
  };
  const run = {};
  for (const [name, f] of Object.entries(functions)) run[name] = elementwise(f);
  run.float32 = (x) => {  // in place: what is shared with another array is rounded there already
    const { shape, data } = wrap(x);
    for (let i = 0; i < data.length; i++) data[i] = Math.fround(data[i]);
    return make(shape, data);
  };

  run.cast = (x, dtype) => {
    const convert = { bool: (a) => a !== 0, float32: Math.fround }[dtype] ?? ((a) => a);
    return elementwise(dtype.includes("int") ? Math.trunc : convert)(x);
  };
  run.item = (x) => make([], wrap(x).data.slice());
  run.full = (shape, x) => make(shape, new Float64Array(size(shape)).fill(wrap(x).data[0]));
  run.zeros = (shape) => run.full([shape].flat(), 0);
  run.ones = (shape) => run.full([shape].flat(), 1);
  run.reshape = (x, shape) => {
    const known = [shape].flat(), free = known.indexOf(-1);
    if (free >= 0) known[free] = x.data.length / -size(known);
    return make(known, x.data);
  };
  run.broadcast = (x, shape) => {
    const at = offsets(wrap(x), shape), data = wrap(x).data;
    return make(shape, at ? gather(data, at) : data);
  };
  run.transpose = (x, axes) => {
    const order = axes ?? x.shape.map((_, k) => x.shape.length - 1 - k), steps = strides(x.shape);
    const shape = order.map((k) => x.shape.at(k));
    return make(shape, gather(x.data, walk(shape, order.map((k) => steps.at(k)))));
  };
  run.dot = (a, b) => {
    if (!a.shape.length || !b.shape.length) return run.multiply(a, b);
    const n = a.shape.length > 1 ? size(a.shape.slice(0, -1)) : 1, inner = a.shape.at(-1);
    const m = b.shape.length > 1 ? b.shape[1] : 1, out = new Float64Array(n * m);
    const left = a.data, right = b.data;
    let k = 0;
    for (; k + 3 < inner; k += 4) {  // four rows at a time stay in the cache
      for (let i = 0, to = 0; i < n; i++) {
        const at = i * inner + k, x = left[at], y = left[at + 1], z = left[at + 2];
        const w = left[at + 3], end = to + m;
        for (let p = k * m, q = p + m, r = q + m, s = r + m; to < end; to++, p++, q++, r++, s++) {
          out[to] = out[to] + x * right[p] + y * right[q] + z * right[r] + w * right[s];
        }
      }
    }
    for (; k < inner; k++) {
      for (let i = 0, to = 0; i < n; i++) {
        const x = left[i * inner + k];
        for (let j = k * m, end = to + m; to < end; to++, j++) out[to] += x * right[j];
      }
    }
    return make([...a.shape.slice(0, -1), ...b.shape.slice(1)], out);
  };
  run.norm = (x, order = 2) => {  // of a vector
    const most = x.data.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    if (order === Infinity || !most) return make([], Float64Array.of(most));
    const total = x.data.reduce((sum, y) => sum + (Math.abs(y) / most) ** order, 0);
    return make([], Float64Array.of(most * total ** (1 / order)));
  };

  const reduction = (start, f) => (x, { axis = 0, keepdims = false, initial = start } = {}) => {
    const axes = axis === null ? x.shape.map((_, k) => k)
      : [axis].flat().map((k) => (k < 0 ? k + x.shape.length : k));
    const reduced = x.shape.map((n, k) => (axes.includes(k) ? 1 : n)), steps = strides(reduced);
    const at = walk(x.shape, steps.map((s, k) => (axes.includes(k) ? 0 : s)));
    const out = new Float64Array(size(reduced)).fill(initial);
    x.data.forEach((value, i) => { out[at[i]] = f(out[at[i]], value); });
    return make(keepdims ? reduced : reduced.filter((_, k) => !axes.includes(k)), out);
  };
  run.sum = reduction(0, functions.add);
  run.vdot = (a, b) => run.sum(run.multiply(run.reshape(a, -1), run.reshape(b, -1)));
  run.prod = reduction(1, functions.multiply);
  run.max = reduction(-Infinity, functions.maximum);
  run.min = reduction(Infinity, functions.minimum);
  run.all = reduction(1, functions.logical_and);
  run.any = reduction(0, functions.logical_or);

  // Indexing: numbers, slices, None, "..." and index arrays that stand side by side.
  const WHOLE = { slice: [null, null, null] };
  const located = (x, index) => {
    let at = Array.isArray(index) ? index : [index];
    const named = at.filter((i) => i !== null && i !== "...").length;
    const dots = at.indexOf("...") < 0 ? at.length : at.indexOf("...");
    const rest = Array(x.shape.length - named).fill(WHOLE);
    at = [...at.slice(0, dots), ...rest, ...at.slice(dots + 1)];
    const arrays = at.filter((i) => i && i.shape), steps = strides(x.shape), shape = [];
    const joint = broadcastShape([[], ...arrays.map((i) => i.shape)]);
    let axis = 0, offsets = [0], waiting = arrays.length, joined = null;
    const add = (cells) => { offsets = offsets.flatMap((o) => Array.from(cells, (c) => o + c)); };
    for (const i of at) {
      if (i === null) { shape.push(1); continue; }
      const n = x.shape[axis], step = steps[axis++];
      if (typeof i === "number") add([(i < 0 ? i + n : i) * step]);
      else if (i.slice) {
        const [start, stop, by] = i.slice, cells = [...Array(n).keys()];
        if (by < 0) cells.reverse();
        const end = (k) => (k === null ? undefined : by < 0 ? -k - 1 : k);
        const some = cells.slice(end(start), end(stop)).filter((_, k) => k % (by ?? 1) === 0);
        shape.push(some.length);
        add(some.map((k) => k * step));
      } else {
        const wrong = i.data.find((k) => !Number.isInteger(k) || k < -n || k >= n);
        if (wrong !== undefined) throw new RangeError(`index ${wrong} is out of range for ${n}`);
        const cells = run.broadcast(i, joint).data.map((k) => (k < 0 ? k + n : k) * step);
        joined = joined ? joined.map((c, k) => c + cells[k]) : cells;
        waiting -= 1;
        if (waiting === 0) { shape.push(...joint); add(joined); }
      }
    }
    return { shape, at: offsets };
  };
  run.getitem = (x, index) => {
    const { shape, at } = located(x, index);
    return make(shape, gather(x.data, at));
  };
  const changed = (f) => (x, index, value) => {
    const { shape, at } = located(x, index), data = Float64Array.from(x.data);
    const from = run.broadcast(value, shape).data;
    at.forEach((i, k) => { data[i] = f(data[i], from[k]); });
    return make(x.shape, data);
  };
  run.put = changed((_, value) => value);
  run.addAt = changed((old, value) => old + value);

  // Arrays of others, and along an axis.
  run.concatenate = (arrays, { axis = 0 } = {}) => {
    const xs = arrays.map(wrap), shape = xs[0].shape.slice();
    const k = axis < 0 ? axis + shape.length : axis, before = Array(k).fill(WHOLE);
    shape[k] = xs.reduce((n, x) => n + x.shape[k], 0);
    let [out, start] = [run.zeros(shape), 0];
    for (const x of xs) {
      const slice = [start, start += x.shape[k], null];
      out = run.put(out, [...before, { slice }, "..."], x);
    }
    return out;
  };
  run.stack = (arrays, { axis = 0 } = {}) => {
    const k = axis < 0 ? axis + wrap(arrays[0]).shape.length + 1 : axis;
    const parts = arrays.map((x) => run.getitem(wrap(x), [...Array(k).fill(WHOLE), null, "..."]));
    return run.concatenate(parts, { axis: k });
  };
  const along = (f) => (x, { axis = null } = {}) => {  // `f` of each row, which it changes
    const flat = axis === null ? run.reshape(x, -1) : x;
    const order = flat.shape.map((_, j) => j), last = order.splice(axis ?? 0, 1);
    order.push(...last);
    const rows = run.transpose(flat, order), n = rows.shape.at(-1);
    for (let i = 0; i < rows.data.length; i += n) f(rows.data.subarray(i, i + n));
    return run.transpose(rows, order.map((_, j) => order.indexOf(j)));
  };
  run.cumsum = along((row) => { for (let i = 1; i < row.length; i++) row[i] += row[i - 1]; });
  const sorted = along((row) => {  // NaN last
    const order = (i, j) => Number.isNaN(row[i]) - Number.isNaN(row[j]) || row[i] - row[j] || i - j;
    row.set(Array.from(row.keys()).sort(order));
  });
  run.argsort = (x, { axis = -1 } = {}) => sorted(x, { axis });
  const first = along((row) => row.fill(row.indexOf(Math.max(...row))));
  run.argmax = (x, { axis = null } = {}) => run.max(first(x, { axis }), { axis });

  // NumPy's generator PCG64 (O'Neill, 2014), {state, inc}, whose state advances with each draw.
  const bits = (rng) => {
    const product = BigInt(rng.state) * 0x2360ED051FC65DA44385DF649FCCF645n;
    rng.state = BigInt.asUintN(128, product + BigInt(rng.inc));
    const mixed = BigInt.asUintN(64, (rng.state >> 64n) ^ rng.state), turn = rng.state >> 122n;
    return BigInt.asUintN(64, (mixed >> turn) | (mixed << (64n - turn)));
  };
  const halves = (rng) => {  // 32 bits at a time; the other half is for the next draw
    if (rng.half !== undefined) return [rng.half, rng.half = undefined][0];
    const whole = bits(rng);
    rng.half = Number(whole >> 32n);
    return Number(whole & 0xFFFFFFFFn);
  };
  run.rngCall = (rng, method, ...options) => {
    if (method !== "random") throw new Error(`the page draws no ${method}`);
    const [named] = options, isNamed = !Array.isArray(named);
    const [shape, dtype] = isNamed ? [named.size, named.dtype] : options;
    const one = dtype === "float32" ? () => (halves(rng) >>> 8) / 2 ** 24
      : () => Number(bits(rng) >> 11n) / 2 ** 53;
    return make([shape].flat(), Float64Array.from({ length: size([shape].flat()) }, one));
  };
  return run;
})();
