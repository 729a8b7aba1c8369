// Work in frames: a few milliseconds of computing or of drawing in each, so that the page lives.

let slice = 8;          // milliseconds
let computations = [];  // generators, in order
let picture = null;     // a generator that draws the parts that are due
const due = new Set();
let frame = null, turn = 0, waiting = [];  // promises that resolve when all is done

function work(isDrawing = picture && (!computations.length || turn++ % 3 === 0)) {
  const end = performance.now() + slice;
  do {
    const job = isDrawing ? picture : computations[0];
    if (!job) break;
    if (!job.next().done) continue;
    computations = computations.filter((other) => other !== job);
    if (job === picture) picture = null;
  } while (performance.now() < end);
  if (picture || computations.length) {
    frame ??= requestAnimationFrame(() => { frame = null; work(); });
  } else for (const resolve of waiting.splice(0)) resolve();
}

const idle = () => new Promise((resolve) => { waiting.push(resolve); work(); });

function* drawing() {  // the layout of a part counts, too
  while (!v.length) yield;
  for (let part; (part = PARTS.find((some) => due.has(some)));) {
    due.delete(part);
    yield* part() ?? [];
    yield document.body.offsetHeight;
  }
}

function request(...parts) {
  for (const part of parts) due.add(part);
  picture ??= drawing();
}

function draw(...parts) {  // at once what a slice has time for
  request(...parts);
  work(true);
}

function compute(computation) {
  computations.push(computation);
  work(false);
}
