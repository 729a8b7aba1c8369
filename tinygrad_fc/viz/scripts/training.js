// Training, and what is plotted of it.

const MOST_POINTS = 400;
let costs = [];     // the cost before each step
let past = null;    // what is plotted of this run: {points, every}
let running = null;

function norm({ weight, bias }) {
  const gradients = [weight, bias].map((k) => v[data.gradients[k]]).filter(Boolean);
  return Math.hypot(...gradients.map((x) => Math.sqrt(R.vdot(x, x).data[0])));
}

function appendRow() {  // [step, cost, ...norms]; of more than MOST_POINTS every second
  const { points, every } = past;
  if (costs.length % every === 0) points.push([costs.length, cost(), ...layers.map(norm)]);
  if (points.length <= MOST_POINTS) return;
  past = { points: points.filter((_, i) => i % 2 === 0), every: 2 * every };
}

const hasDiverged = () => data.loss !== null && !Number.isFinite(cost());

function showStatus() {
  const end = hasDiverged() ? ". It diverged: lower the learning rate and press Reset." : "";
  const count = costs.length.toLocaleString("en");
  $("trained").textContent = `${count} steps, C = ${text(cost())}${end}`;
  $("train").textContent = running ? "Stop" : "Train";
  $("train").setAttribute("aria-pressed", running !== null);
}

function* trainingStep() {  // stopped before its end, it changes nothing
  const before = cost();
  yield* updating();
  costs.push(before);
  appendRow();
  running.left -= 1;
  if (running.left && !hasDiverged()) computations.push(running.job = trainingStep());
  else running = null;
}

function train(count = Infinity) {  // resolves when that many steps are done, or it is stopped
  edited = null;
  evaluate(false);
  stop();
  if (canRun && count > 0 && !hasDiverged()) {
    const job = trainingStep();
    running = { left: count, job };
    compute(job);
  }
  return idle();
}

function stop() {
  computations = computations.filter((job) => job !== running?.job);
  running = null;
  draw(...LIVE);
}

// The rates of all groups of parameters, by the same factor; one that is not accepted is marked.
function rateChange() {
  const rate = $("rate").valueAsNumber, isValid = rate >= 0 && rate < Infinity;
  const { rates } = data, isRefused = rates.length > 0 && !isValid;
  $("rate").setAttribute("aria-invalid", isRefused);
  $("rate-note").textContent = isRefused ? "not accepted: a number from 0" : "";
  if (isRefused) return [];
  const [first, ...others] = rates.map((k) => initial[k].data[0]);
  const of = (x) => (first ? x * (rate / first) : rate);
  return rates.map((k, i) => [k, array([], [i ? of(others[i - 1]) : rate])]);
}

function* resetting() {
  yield* recomputing(rateChange(), initial);
  [costs, edited, refused] = [[], null, null];
  edits.clear();
  past = { points: [], every: 1 };
  appendRow();
}
