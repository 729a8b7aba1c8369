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
const array = (shape, numbers) => ({ shape, data: new Float64Array(numbers) });

function decoded({ shape, numbers, type, ...generator }) {  // base64 of floats
  if (generator.state) return { shape, data: [], ...generator };
  const text = atob(numbers), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return array(shape, new (type === "float32" ? Float32Array : Float64Array)(bytes.buffer));
}
const initial = [];
for (const k of stored) initial[k] = decoded(data.values[k]);

let isEvaluating = false;

// A value as it is in evaluation, if it differs: what dropout reads; batch norm by its running
// statistics. `get` returns what it is computed from, for the functions of `f`.
function inEvaluation(k, get, f = R) {
  const [x, mean, variance, eps] = data.evaluation[k] ?? [];
  if (mean === undefined) return x === undefined ? undefined : get(x);
  if (!isEvaluating) return undefined;
  return f.divide(f.subtract(get(x), get(mean)), f.sqrt(f.add(get(variance), eps)));
}

const EVALUATED = {
  set: (values, k, x) => Reflect.set(values, k, inEvaluation(k, (other) => values[other]) ?? x),
};

// Computes `values` from its inputs, with a yield after each instruction; their generators stay
// as they are before the step. Returns the generators after it.
function* computing(values) {
  const before = generators.map((k) => values[k]);
  for (const k of generators) values[k] = { ...values[k] };
  yield* runProgram(isEvaluating ? new Proxy(values, EVALUATED) : values, R);
  const after = generators.map((k) => values[k]);
  generators.forEach((k, i) => { values[k] = before[i]; });
  return after;
}

function finished(computation) {
  let last = computation.next();
  while (!last.done) last = computation.next();
  return last.value;
}

// Computes `values`, by default those that are there by then, with `changes`, [number, value], and
// exchanges all at once.
function* recomputing(changes, values = null) {
  const after = (values ?? v).slice();
  for (const [k, x] of changes) after[k] = x;
  if (canRun) next = yield* computing(after);
  [v, computed] = [after, new Map()];
  request(...LIVE);
}

const updating = () => recomputing([
  ...data.changes.map(([old, k]) => [old, v[k]]), ...generators.map((k, i) => [k, next[i]])]);

const withNumber = (x, element, number) => array(x.shape, x.data.with(element, number));

// Why the program refuses `values`, if it does: where one of its guards or an index fails.
function* refusing(values) {
  try {
    yield* computing(values);
  } catch (error) {
    return error.message;
  }
  const fails = ([k, truth]) => Boolean(values[k].data[0]) !== truth;
  return data.guards.some(fails) ? "a guard of the program fails for this number" : "";
}

const cost = (values = v) => (data.loss === null ? NaN : values[data.loss].data[0]);

function* differing(k, element, h) {  // returns (C(w + h) - C(w - h)) / 2h; changes nothing
  const costs = [];
  for (const by of [h, -h]) {
    const copy = v.slice();
    copy[k] = withNumber(v[k], element, v[k].data[element] + by);
    yield* computing(copy);
    costs.push(cost(copy));
  }
  return (costs[0] - costs[1]) / (2 * h);
}

const largest = ({ data: numbers }) => numbers.reduce(
  (most, y) => (Math.abs(y) > most && Math.abs(y) < Infinity ? Math.abs(y) : most), 0);
const parameterOf = Object.fromEntries(
  Object.entries(data.gradients).map(([k, gradient]) => [gradient, Number(k)]));
const newOf = Object.fromEntries(data.changes);
