// Training by animation frames: a few milliseconds of instructions in each, so that the page lives.

const MOST_POINTS = 400, SLICE = 12;
let costs = [];     // the cost before each step
let past = null;    // what is plotted of this run: {points, every}
let before = null;  // and of the run before Reset
let running = null;

function norm({ weight, bias }) {
  const gradients = [weight, bias].map((k) => v[data.gradients[k]]).filter(Boolean);
  return Math.sqrt(gradients.reduce((sum, x) => x.data.reduce((s, y) => s + y * y, sum), 0));
}

function record() {  // [step, cost, ...norms]; of more than MOST_POINTS every second
  if (costs.length % past.every) return;
  past.points.push([costs.length, cost(), ...layers.map(norm)]);
  if (past.points.length <= MOST_POINTS) return;
  past.every *= 2;
  past.points = past.points.filter((_, i) => i % 2 === 0);
}

const hasDiverged = () => data.loss !== null && !Number.isFinite(cost());

function showStatus() {
  const seconds = running ? (performance.now() - running.started) / 1000 : 0;
  const speed = seconds > 0.3 ? Math.round((costs.length - running.from) / seconds) : 0;
  const end = hasDiverged() ? ". It diverged: lower the learning rate and press Reset."
    : speed ? `, ${speed.toLocaleString("en")} steps/s` : "";
  const count = costs.length.toLocaleString("en");
  $("trained").textContent = `${count} steps, C = ${text(cost())}${end}`;
  $("train").textContent = running ? "Stop" : "Train";
  $("train").setAttribute("aria-pressed", running !== null);
}

function train(count = Infinity) {  // resolves when that many steps are done, or it is stopped
  stop();
  edited = null;
  return new Promise((resolve) => {
    const started = performance.now(), left = canRun ? count : 0;
    running = { left, resolve, started, from: costs.length, next: 0, part: 0 };
    running.frame = requestAnimationFrame(slice);
    showStatus();
  });
}

function slice() {  // a frame computes, or draws a part of the page for a third of the time
  const own = running, start = performance.now();
  if (start > own.next) {
    const parts = [refreshArrays, showComputation, showNetwork, showFit, showTraining, showStatus];
    parts[own.part++ % parts.length]();
    own.next = performance.now() + 2 * (performance.now() - start) + SLICE;
  } else computeUntil(start + SLICE);
  if (own.left <= 0) stop();
  else own.frame = requestAnimationFrame(slice);
}

function computeUntil(end) {
  const own = running;
  while (own.left > 0 && performance.now() < end) {
    own.step ??= { before: cost(), computation: updating() };
    let isDone = false;
    while (!isDone && performance.now() < end) isDone = own.step.computation.next().done;
    if (!isDone) return;
    costs.push(own.step.before);
    own.step = null;
    own.left = hasDiverged() ? 0 : own.left - 1;
    record();
  }
}

function stop() {  // a step that is not complete changes nothing
  if (!running) return;
  const { frame, resolve } = running;
  cancelAnimationFrame(frame);
  running = null;
  show();
  showStatus();
  resolve();
}

function setRate() {
  const rate = $("rate").valueAsNumber, isValid = rate >= 0 && rate < Infinity;
  $("rate").setAttribute("aria-invalid", data.rate !== null && !isValid);
  $("rate-note").textContent = data.rate === null || isValid ? "" : "not accepted: a number from 0";
  if (data.rate === null || !isValid) return;
  v[data.rate] = array([], [rate]);
  compute();
}

function reset() {
  stop();
  if (past?.points.length > 1) before = past;
  v = [];
  for (const k of stored) v[k] = decoded(data.values[k]);
  compute();
  setRate();
  [costs, edited] = [[], null];
  past = { points: [], every: 1 };
  record();
  show();
  showStatus();
}

