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
  const { points, every } = past;
  if (costs.length % every === 0) points.push([costs.length, cost(), ...layers.map(norm)]);
  const half = () => points.filter((_, i) => i % 2 === 0);
  if (points.length > MOST_POINTS) past = { points: half(), every: 2 * every };
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

function* training(count) {  // yields after each instruction
  for (let k = 0; k < count && !hasDiverged(); k++) {
    const before = cost();
    yield* updating();
    costs.push(before);
    record();
  }
}

function train(count = Infinity) {  // resolves when that many steps are done, or it is stopped
  stop();
  edited = null;
  showEdit();
  return new Promise((resolve) => {
    const started = performance.now(), computation = training(canRun ? count : 0);
    running = { computation, resolve, started, from: costs.length, next: 0, part: 0 };
    running.frame = requestAnimationFrame(slice);
    showStatus();
  });
}

const PARTS = [refreshArrays, showCell, showFit, showTraining, showStatus];

function slice() {  // a frame computes, or draws a part of the page for a third of the time
  const own = running, start = performance.now();
  let isDone = false;
  if (start > own.next) {
    PARTS[own.part++ % PARTS.length]();
    own.next = performance.now() + 2 * (performance.now() - start) + SLICE;
  } else while (!isDone && performance.now() < start + SLICE) isDone = own.computation.next().done;
  if (isDone) stop();
  else own.frame = requestAnimationFrame(slice);
}

function stop() {  // a step that is not complete changes nothing
  if (!running) return;
  const { frame, resolve } = running;
  cancelAnimationFrame(frame);
  running = null;
  const draw = ([part, ...others]) => {  // a part in each frame, as while it trains
    part();
    if (others.length) requestAnimationFrame(() => draw(others));
    else resolve();
  };
  draw([showStatus, ...PARTS]);
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

