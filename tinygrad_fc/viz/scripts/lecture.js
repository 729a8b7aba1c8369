// How the page is shown to others: the opening, Play, tours, lecture mode, the theme of the site
// around it, and the address, which keeps step, sample, cell and edits.

const TOURS = JSON.parse($("tours-data").textContent);
let playing = null, tour = null;  // a timer; {stops, at}

// The page opens on the fit: the plots of training lie in the middle, until a step is asked for.
function openFit(isOpen) {
  document.body.classList.toggle("opening", isOpen);
  if (isOpen === $("opening").contains($("cost"))) return;
  $(isOpen ? "opening" : "left").append($("data-plot"));
  $(isOpen ? "opening" : "right").append($("cost"));
  draw(...PARTS);
}

function play(isOn = !playing) {
  clearInterval(playing);
  const step = () => (at === steps.length - 1 ? play(false) : go(at + 1));
  playing = isOn ? setInterval(step, 900) : null;
  document.body.classList.toggle("playing", isOn);
  $("play").setAttribute("aria-pressed", isOn);
}

// A tour asks about a step, checks a guess, and reveals the answer there.
function startTour(name) {
  tour = name ? { stops: TOURS[name].filter(({ step }) => stepNamed(step) >= 0), at: 0 } : null;
  showTour();
}

const stepNamed = (title) => steps.findIndex((step) => titleOf(step).includes(title));

function showTour() {
  const stop = tour?.stops[tour.at];
  $("tour").hidden = !tour;
  if (!tour) return;
  $("question").textContent = stop ? `${tour.at + 1} of ${tour.stops.length}: ${stop.question}`
    : "The end of the tour.";
  [$("guess").value, $("verdict").value, $("reveal").open] = ["", "", false];
  [$("guess").hidden, $("reveal").hidden] = [stop?.answer === undefined, !stop];
  $("answer").textContent = stop?.reveal;
  $("tour-next").textContent = stop ? "Next question" : "Close";
  if (stop) move(stepNamed(stop.step));  // whose arrays fit below
}

function nextStop() {
  if (tour.stops[tour.at]) tour.at += 1;
  else tour = null;
  showTour();
  $("tour-next")?.focus();
}

function checkGuess({ valueAsNumber: guess }) {
  const { answer } = tour.stops[tour.at], isRight = Math.abs(guess - answer) <= 0.01 * answer;
  $("verdict").value = `${text(guess)} is ${isRight ? "" : "not "}right`;
}

// The theme of the documentation around this page, which its body names.
function followTheme() {
  let outer = null;
  try {
    outer = parent.document.body;
  } catch {
    return;  // of another site
  }
  const follow = () => { document.documentElement.dataset.theme = outer.dataset.theme ?? ""; };
  new MutationObserver(follow).observe(outer, { attributeFilter: ["data-theme"] });
  follow();
}

// The address

function writeAddress() {
  if (location.protocol === "about:" || document.body.classList.contains("opening")) return;
  const parts = [`step=${at + 1}`, `b=${sample}`];
  if (pinned) parts.push(`cell=${pinned.k},${pinned.element}`);
  if (edits.size) parts.push(`set=${[...edits].map(([key, x]) => `${key},${x}`).join(";")}`);
  history.replaceState(null, "", `#${parts.join("&")}`);
}

function* goingToLink() {  // a computation: it waits until the cell of the address has a value
  const link = new URLSearchParams(location.hash.slice(1));
  const numbers = (x) => x.split(",").map(Number);
  if (!link.has("step")) return;
  const changed = (link.get("set") ?? "").split(";").filter(Boolean).map(numbers)
    .filter(([k, e]) => isEditable(k) && initial[k].data[e] !== undefined);
  for (const [k, e, x] of changed) yield* changing(k, e, x);
  if (link.has("b")) sample = clamped(Number(link.get("b")) || 0, 0, samples - 1);
  const [k, element] = numbers(link.get("cell") ?? "");
  const isShown = steps.some((step) => [step.writes, ...step.reads, ...step.between].includes(k));
  const isThere = isShown && v[k]?.data[element] !== undefined;
  [pinned, trail] = [isThere ? { k, element } : null, []];
  request(...PARTS);
  go((Number(link.get("step")) || 1) - 1);
}
