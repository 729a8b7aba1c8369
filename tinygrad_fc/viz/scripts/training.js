// Training.

let costs = [];     // the cost before each step
let running = null;

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
  running.left -= 1;
  if (running.left && !hasDiverged()) computations.push(running.job = trainingStep());
  else running = null;
}

function train(count = Infinity) {  // resolves when that many steps are done, or it is stopped
  edited = null;
  evaluate(false);
  stop();
  if (canRun && count > 0 && !hasDiverged()) {
    running = { left: count, job: trainingStep() };
    compute(running.job);
  }
  return idle();
}

function stop() {
  computations = computations.filter((job) => job !== running?.job);
  running = null;
  draw(...LIVE);
}

// The rates of all groups of parameters, by the same factor, unless the browser refuses the number.
function rateChange() {
  const { rates } = data, rate = $("rate").valueAsNumber;
  if (!rates.length || !$("rate").reportValidity()) return [];
  const [first, ...others] = rates.map((k) => initial[k].data[0]);
  const all = [rate, ...others.map((x) => (first ? x * (rate / first) : rate))];
  return rates.map((k, i) => [k, array([], [all[i]])]);
}

function* resetting() {
  yield* recomputing(rateChange(), initial);
  [costs, edited, refused] = [[], null, null];
  edits.clear();
}
