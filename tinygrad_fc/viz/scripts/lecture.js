// How the page is shown to others: the opening, Play, tours, lecture mode, the theme of the site
// around it, and the address, which keeps step, sample, cell and edits.

const TOURS = JSON.parse($("tours-data").textContent);
let playing = null, tour = null;  // a timer; {stops, at, isRevealed}

// The page opens on the fit: the plots of training lie in the middle, until a step is asked for.
function openFit(isOpen) {
  document.body.classList.toggle("opening", isOpen);
  if (isOpen === $("opening").contains($("cost"))) return;
  if (isOpen) $("opening").append($("data-plot"), $("cost"));
  else {
    $("left").append($("data-plot"));
    $("right").insertBefore($("cost"), $("norms"));
  }
  draw(...PARTS);
}

function play(isOn = !playing) {
  clearInterval(playing);
  const step = () => (at === steps.length - 1 ? play(false) : go(at + 1));
  playing = isOn ? setInterval(step, 900) : null;
  document.body.classList.toggle("playing", isOn);
  $("play").setAttribute("aria-pressed", isOn);
}

// A tour asks about a step, and reveals the answer there.
function startTour(name) {
  tour = name ? { stops: TOURS[name].filter(({ step }) => stepNamed(step) >= 0), at: 0 } : null;
  showTour();
}

const stepNamed = (title) => steps.findIndex((step) => titleOf(step).includes(title));

function showTour() {
  const stop = tour?.stops[tour.at];
  $("tour").hidden = !tour;
  if (!tour) return;
  if (stop) move(stepNamed(stop.step));
  const field = stop?.answer === undefined ? "" : '<input id="guess" type="number" step="any" '
    + 'aria-label="Your guess">';
  const answer = tour.isRevealed && stop
    ? `<p role="status">${tour.verdict}${escaped(stop.reveal)}</p>` : field;
  const label = !stop ? "Close" : tour.isRevealed ? "Next question" : "Reveal";
  $("tour").innerHTML = `<p><b>${stop ? `${tour.at + 1} of ${tour.stops.length}: ${
    escaped(stop.question)}` : "The end of the tour."}</b></p>${answer}`
    + `<button type="button" id="tour-next">${label}</button>`;
}

function nextStop() {
  if (!tour.stops[tour.at]) return startTour("");
  if (tour.isRevealed) tour.at += 1;
  const guess = $("guess")?.valueAsNumber, { answer } = tour.stops[tour.at] ?? {};
  const isRight = Math.abs(guess - answer) <= 0.01 * Math.abs(answer);
  tour.verdict = Number.isFinite(guess) ? `${text(guess)} is ${isRight ? "" : "not "}right. ` : "";
  tour.isRevealed = !tour.isRevealed;
  showTour();
  return $("tour-next").focus();
}

// The theme of the page around this one, of the same site.
function followTheme() {
  let outer = null;
  try {
    outer = parent === window ? null : parent.document;
  } catch {
    return;
  }
  if (!outer) return;
  const nodes = [outer.documentElement, outer.body];
  const follow = () => {
    const theme = nodes.map(({ dataset }) => dataset.theme ?? dataset.mdColorScheme).find(Boolean);
    const known = { dark: "dark", light: "light", slate: "dark" }[theme];
    if (known) document.documentElement.dataset.theme = known;
    else delete document.documentElement.dataset.theme;
  };
  for (const node of nodes) new MutationObserver(follow).observe(node, { attributes: true });
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

function goToLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  const numbers = (x) => x.split(",").map(Number);
  if (!link.has("step")) return;
  const changed = (link.get("set") ?? "").split(";").filter(Boolean).map(numbers)
    .filter(([k, e]) => isEditable(k) && initial[k].data[e] !== undefined);
  for (const [k, e, x] of changed) compute(changing(k, e, x));
  if (link.has("b")) sample = clamped(Number(link.get("b")) || 0, 0, samples - 1);
  const [k, element] = numbers(link.get("cell") ?? "");
  const isShown = steps.some((step) => [step.writes, ...step.reads, ...step.between].includes(k));
  pinned = isShown && v[k]?.data[element] !== undefined ? { k, element } : null;
  trail = [];
  openFit(false);
  go((Number(link.get("step")) || 1) - 1);
}
