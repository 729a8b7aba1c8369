// Values of the program, by number: decoded, computed, and computed with one of them changed.
"use strict";
const $ = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const data = JSON.parse($("data").textContent);
const steps = data.steps;
const canRun = !data.missing.length;
const samples = data.x === null ? 1 : data.values[data.x].shape[0] ?? 1;
const stored = Object.keys(data.values).map(Number);
const generators = stored.filter((k) => data.values[k].state);
let v = [];      // generators have the state before the step
let next = [];   // generators after the step

const sizeOf = (shape) => shape.reduce((n, m) => n * m, 1);
const array = (shape, numbers) => ({ shape, data: Float64Array.from(numbers) });

function decoded({ shape, numbers, type, ...generator }) {  // base64 of floats
  if (generator.state) return { shape, data: [], ...generator };
  const bytes = Uint8Array.from(atob(numbers), (c) => c.charCodeAt(0)).buffer;
  return array(shape, type === "float32" ? new Float32Array(bytes) : new Float64Array(bytes));
}

// Computes `values` from its inputs, with a yield after each instruction; their generators stay
// as they are before the step. Returns the generators after it.
function* computing(values) {
  const before = generators.map((k) => values[k]);
  for (const k of generators) values[k] = { ...values[k] };
  yield* runProgram(values, R);
  const after = generators.map((k) => values[k]);
  generators.forEach((k, i) => { values[k] = before[i]; });
  return after;
}

function finished(computation) {
  let last = computation.next();
  while (!last.done) last = computation.next();
  return last.value;
}

function compute() {
  forgetCells();
  if (canRun) next = finished(computing(v));
}

// The values after the update, computed in slices: `v` is exchanged when all of them are there.
function* updating() {
  const after = v.slice();
  for (const [old, k] of data.changes) after[old] = v[k];
  generators.forEach((k, i) => { after[k] = next[i]; });
  next = yield* computing(after);
  v = after;
  forgetCells();
}

function withNumber(x, element, number) {
  const changed = array(x.shape, x.data);
  changed.data[element] = number;
  return changed;
}

const cost = (values = v) => (data.loss === null ? NaN : values[data.loss].data[0]);

function difference(k, element, h) {  // (C(w + h) - C(w - h)) / 2h; changes nothing
  const costAt = (number) => {
    const copy = v.slice();
    copy[k] = withNumber(v[k], element, number);
    finished(computing(copy));
    return cost(copy);
  };
  const w = v[k].data[element];
  return (costAt(w + h) - costAt(w - h)) / (2 * h);
}

const largest = (x) => x.data.reduce(
  (most, y) => (Number.isFinite(y) ? Math.max(most, Math.abs(y)) : most), 0);
const parameterOf = Object.fromEntries(
  Object.entries(data.gradients).map(([k, gradient]) => [gradient, Number(k)]));
const newOf = Object.fromEntries(data.changes);
const changedValues = new Set(data.changes.map(([, k]) => k));
