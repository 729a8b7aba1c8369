// Modes of the page, each a button and a class of the body by its id.
const isOn = (mode) => document.body.classList.contains(mode);
function toggle(button) {
  button.setAttribute("aria-pressed", document.body.classList.toggle(button.id));
  draw(...PARTS);
}

// What is kept and cleared: saved values, gradients, dead neurons; and the model in evaluation.

// Values that the forward pass computes, and the inputs, that rules of the backward pass read.
function showMemory() {
  $("memory").hidden = !isOn("memory-on");
  if ($("memory").hidden) return;
  const link = (k) => `<a role="button" tabindex="0" data-k="${k}" data-e="0">${symbol(k)}</a>`;
  const links = (some) => some.map(link).join(", ") || "none";
  const count = (some) => some.reduce((n, k) => n + v[k].data.length, 0).toLocaleString("en");
  const of = (phase) => steps.filter((step) => step.phase === phase);
  const read = new Set(of("backward").flatMap(({ reads }) => reads));
  const results = of("forward").flatMap(({ between, writes }) => [...between, writes])
    .filter((k) => read.has(k));
  const inputs = stored.filter((k) => data.labels[k] !== undefined && read.has(k));
  const gradients = Object.values(data.gradients);
  $("saved").innerHTML = `${links(results)}: ${count(results)} numbers`;
  $("read").innerHTML = links(inputs);
  $("cleared").innerHTML = `${links(gradients)}: ${count(gradients)} numbers`;
}

// The sentence of a step, of ReLU with the neurons that are 0 for all samples.
function sentenceOf({ sentence, is_relu: isRelu, writes: k }) {
  const [x, mean] = isEvaluating && data.evaluation[k] || [];
  if (mean !== undefined) return `In evaluation by the running statistics: ${plain(k)} = (${
    plain(x)} − running mean) / √(running variance + ε).`;
  if (x !== undefined) return `In evaluation nothing is dropped: ${plain(k)} = ${plain(x)}.`;
  if (!isRelu || !isBatch(k)) return sentence;
  const width = widthOf(k), dead = [...Array(width).keys()].filter(
    (j) => v[k].data.every((y, e) => e % width !== j || y === 0));
  return `${sentence} Dead, 0 for all ${samples} samples: ${dead.length} of ${width} neurons${
    dead.length ? ` (${dead.slice(0, 12).join(", ")}); no gradient reaches their weights` : ""}.`;
}

// Evaluation computes the same step without dropout and with running statistics; it has no
// backward pass, so that a later step, and training, switch back.
function evaluate(isOn) {
  if (isOn === isEvaluating) return;
  isEvaluating = isOn;
  $("evaluation").setAttribute("aria-pressed", isOn);
  compute(recomputing([]));
  const last = steps.findLastIndex(({ phase }) => phase === "forward");
  if (isOn && steps[at].phase !== "forward") move(last);
  draw(...PARTS);
}
