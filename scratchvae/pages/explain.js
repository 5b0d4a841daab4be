/* The microscope: walk through a step, drag its noise, change a weight, see all that follows. */

"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const FEW = 64; // an array of more numbers is shown as a picture
const WIDE = 12; // and so is one of more columns

// ---- a model: what was recorded, and what has been changed since ---------------------------------

/** The arrays of a step as Python recorded them, and as this page computes them anew. */
class Specimen {
  constructor(content) {
    Object.assign(this, content); // name, about, network, steps, checks, optimizer, …
    this.recorded = {};
    this.shapes = {};
    for (const [key, packed] of Object.entries(content.arrays)) {
      this.recorded[key] = unpack(packed);
      this.shapes[key] = packed.shape;
    }
    const layers = [...this.network.encoder, ...this.network.decoder];
    this.layers = Object.fromEntries(layers.map((layer) => [layer.label, layer]));
    this.parameters = layers.flatMap((layer) => layer.parameters.map((p) => `${layer.label}.${p}`));
    this.weights = {};
    for (const name of this.parameters) this.weights[name] = new Float64Array(this.recorded[name]);
    this.live = !this.notLive;
    this.isImage = this.imageShape.length > 0 && this.recorded.x.every((x) => x >= 0 && x <= 1);
    this.reset();
  }

  reset() {
    this.eps = this.recorded.eps.slice();
    this.changed = new Map(); // "encoder.0.W" -> Map(element -> value)
    this.moved = false;
    this.compute();
  }

  get isChanged() {
    return this.moved || this.changed.size > 0;
  }

  setNoise(index, value) {
    this.eps[index] = value;
    this.moved = true;
    this.compute();
  }

  setWeight(name, index, value) {
    if (!this.changed.has(name)) this.changed.set(name, new Map());
    const of = this.changed.get(name);
    if (value === this.recorded[name][index]) of.delete(index);
    else of.set(index, value);
    if (of.size === 0) this.changed.delete(name);
    this.compute();
  }

  /** The parameters as they are now. */
  params() {
    const now = { ...this.weights };
    for (const [name, elements] of this.changed) {
      now[name] = now[name].slice();
      for (const [index, value] of elements) now[name][index] = value;
    }
    return now;
  }

  /** The element of the first parameter on which the loss depends most. */
  steepest() {
    const key = this.parameters[0], slopes = this.recorded[`grad.${key}`];
    return { key, index: slopes.reduce((best, each, i) => (Math.abs(each) > Math.abs(slopes[best]) ? i : best), 0) };
  }

  compute() {
    this.arrays = this.isChanged ? { ...this.recorded, ...this.anew() } : this.recorded;
    this.slopes = new Map(); // differences that were asked for at this point
  }

  /** Every array of the step, computed by this page. */
  anew() {
    const params = this.params();
    const arrays = computeStep(this.network, params, this.recorded.x, this.eps);
    if (this.optimizer.kind === "adam")
      for (const name of this.parameters) {
        const [m, v] = ["m", "v"].map((moment) => this.recorded[`before.${moment}.${name}`]);
        if (!m || !v) continue; // large moments are not in the page
        const found = adamUpdate(this.optimizer, params[name], arrays[`grad.${name}`], m, v);
        for (const [key, a] of Object.entries(found)) arrays[`${key}.${name}`] = a;
      }
    return arrays;
  }

  /** How far this page's own arithmetic is from what Python recorded, relative to each array. */
  agreement() {
    const anew = this.anew();
    let worst = 0;
    for (const [key, a] of Object.entries(anew)) {
      const packed = this.content(key);
      if (!packed || packed.dtype === "float16") continue;
      const recorded = this.recorded[key], { most } = extent(recorded);
      a.forEach((each, i) => {
        if (each !== recorded[i]) worst = Math.max(worst, Math.abs(each - recorded[i]) / most);
      });
    }
    return worst;
  }

  content(key) {
    return DATA.specimens.find((s) => s.name === this.name).arrays[key];
  }

  /** Derivatives beside the gradient `key`: by complex step as recorded, by differences if changed.
      A map from element to number. */
  slopesOf(key) {
    const check = this.checks[key];
    if (!check) return new Map();
    if (!this.isChanged)
      return new Map(check.elements.map((element, i) => [element, check.values[i]]));
    const name = key.slice("grad.".length);
    if (!key.startsWith("grad.") || this.recorded[name].length > FEW) return new Map();
    if (!this.slopes.has(key)) {
      const params = this.params(), h = 2 ** -17;
      params[name] = params[name].slice(); // to be moved, element by element
      const lossAt = (i, value) => {
        const before = params[name][i];
        params[name][i] = value;
        const { objective } = computeStep(this.network, params, this.recorded.x, this.eps);
        params[name][i] = before;
        return objective[0];
      };
      this.slopes.set(key, new Map(Array.from(params[name], (p, i) =>
        [i, (lossAt(i, p + h) - lossAt(i, p - h)) / (2 * h)]))); // E29
    }
    return this.slopes.get(key);
  }

  /** Rows and columns of an array's picture; an array of pixels has the shape of the image. */
  layOut(key) {
    const size = this.arrays[key].length, [height, width] = this.imageShape;
    const ofPixels = ["x", "dlogits", this.logits].includes(key) || /likelihood|decoder.*\.b$/.test(key);
    return ofPixels && height * width === size ? [height, width] : layOut(this.shapes[key], size);
  }

  /** The recorded gradient at the elements that were checked, not rounded. */
  exactly(key) {
    const { elements, gradient } = this.checks[key];
    return Object.fromEntries(elements.map((element, i) => [element, gradient[i]]));
  }

  /** "3, 5" for row 3 and column 5 of a matrix, "5" in a row of numbers. */
  position(key, index) {
    const columns = this.shapes[key].at(-1) || 1, row = Math.floor(index / columns);
    return `${this.arrays[key].length > columns ? `${row + 1}, ` : ""}${(index % columns) + 1}`;
  }

  symbol(key) {
    const fixed = {
      x: "x", row: "[x | c]", eps: "ε", std: "σ", z: "z", code: "[z | c]", nll: "−log p(x|z)", kl: "KL", objective: "J",
      dlogits: "da", dhead: "[dμ | d log σ²]", [this.head]: "[μ | log σ²]", [this.logits]: "a",
      [this.dz]: this.recorded.code ? "[dz | dc]" : "dz",
    };
    if (key in fixed) return fixed[key];
    const [kind, ...rest] = key.split("."), last = rest.at(-1);
    const words = { grad: `d${last}`, after: `new ${last}`, change: `change of ${last}` };
    return words[kind] || (["m", "v"].includes(kind) ? `${kind} of ${last}` : last);
  }

  /** Names of the columns, where they have some. */
  columns(key, n) {
    const Z = this.network.latent, d = { [this.head]: "", dhead: "d " }[key];
    return Array.from({ length: n }, (_, i) =>
      (d === undefined ? `${i + 1}` : i < Z ? `${d}μ ${i + 1}` : `${d}log σ² ${i + 1 - Z}`));
  }
}

// ---- the state of the page -------------------------------------------------------------------------

const specimens = DATA.specimens.map((content) => new Specimen(content));
const page = { model: 0, step: 0, chosen: null, sample: 0, axes: [0, 1] };
const here = () => specimens[page.model];
const stepHere = () => here().steps[page.step];

const digits = (value) => {
  if (value === undefined || Number.isNaN(value)) return "NaN";
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e5)) return minus(value.toExponential(2));
  return minus(String(Number(value.toPrecision(4))));
};
const full = (value) => minus(String(value));

// ---- arrays -----------------------------------------------------------------------------------------

/** One array of the step: a table of its numbers, or a picture where there are many. */
function arrayFigure(key, isResult) {
  const s = here(), a = s.arrays[key], shape = s.shapes[key];
  const caption = element("figcaption", {}, element("b", {}, s.symbol(key)),
    `${key} (${shape.join(", ")})`);
  const figure = element("figure", { class: "array" }, caption);
  const columns = shape.at(-1) || 1, rows = a.length / columns;
  const isImage = key === "x" && s.isImage;
  if (a.length <= FEW && columns <= WIDE) figure.append(numberTable(key, a, rows, columns, isResult));
  if (isImage || a.length > FEW || columns > WIDE) figure.append(arrayPicture(key, a));
  if (isResult && key in s.checks) figure.append(checkOf(key, a));
  return figure;
}

function numberTable(key, a, rows, columns, isResult) {
  const s = here(), table = element("table", { class: "numbers" });
  const slopes = isResult ? s.slopesOf(key) : new Map();
  const { most } = extent(a);
  const names = s.columns(key, columns);
  if (columns > 1)
    table.append(element("tr", {}, ...(rows > 1 ? [element("th")] : []),
      ...names.map((name) => element("th", { scope: "col" }, name))));
  for (let i = 0; i < rows; i++) {
    const row = element("tr", {}, ...(rows > 1 ? [element("th", { scope: "row" }, String(i + 1))] : []));
    for (let j = 0; j < columns; j++) {
      const index = i * columns + j, value = a[index];
      const share = most > 0 ? Math.round((55 * Math.abs(value)) / most) : 0;
      const chosen = page.chosen && page.chosen.key === key && page.chosen.index === index;
      const cell = element("td", {
        tabindex: 0, title: full(value), class: chosen ? "chosen" : null,
        style: `--hue: var(--${value < 0 ? "minus" : "plus"}); --share: ${share}%`,
        onclick: () => choose(key, index),
        onkeydown: (event) => event.key === "Enter" && choose(key, index),
      }, digits(value));
      if (slopes.has(index))
        cell.append(element("span", {}, digits(slopes.get(index))),
          element("span", { class: "gap" }, digits(value - slopes.get(index))));
      row.append(cell);
    }
    table.append(row);
  }
  return element("div", { class: "scroll" }, table);
}

function arrayPicture(key, a) {
  const s = here(), [rows, columns] = s.layOut(key);
  const canvas = element("canvas", { role: "img" });
  (key === "x" && s.isImage ? drawGrey : drawSigned)(canvas, a, rows, columns);
  const most = a.length <= FEW ? 120 : 220;
  const wide = Math.max(90, Math.min(560, columns * Math.max(1, Math.floor(most / rows))));
  const { lowest, highest, norm } = extent(a);
  canvas.setAttribute("aria-label",
    `${key}: ${a.length} numbers from ${digits(lowest)} to ${digits(highest)}`);
  const said = element("div", { class: "small soft number" },
    `${digits(lowest)} … ${digits(highest)}, norm ${digits(norm)}`);
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const i = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const j = Math.floor(((event.clientX - box.left) / box.width) * columns);
    return Math.min(i * columns + j, a.length - 1);
  };
  canvas.addEventListener("pointermove", (event) => {
    said.textContent = `${s.position(key, at(event))}: ${digits(a[at(event)])}`;
  });
  canvas.addEventListener("click", (event) => choose(key, at(event)));
  return element("div", { class: "picture", style: `--wide: ${wide}px` }, canvas, said);
}

/** Beside a gradient: the largest difference from the complex step, and the list of a large one. */
function checkOf(key, a) {
  const s = here(), slopes = s.slopesOf(key), how = s.isChanged ? "central difference" : "complex step";
  if (slopes.size === 0)
    return element("div", { class: "small soft" }, "once something is changed, differences are taken of small parameters alone");
  let worst = 0;
  const gradient = s.isChanged ? a : s.exactly(key); // a large one is rounded in its picture
  for (const [index, slope] of slopes) worst = Math.max(worst, Math.abs(gradient[index] - slope));
  const box = element("div", { class: "small" },
    element("span", { class: "gap" }, `largest difference ${digits(worst)}`),
    ` from the ${how}${slopes.size < a.length ? `, at the ${slopes.size} largest elements` : ""}`);
  if (a.length > FEW) {
    const rows = [...slopes].slice(0, 8).map(([index, slope]) => element("tr", {},
      element("th", { scope: "row" }, s.position(key, index)), element("td", {}, digits(gradient[index])),
      element("td", {}, digits(slope)), element("td", { class: "gap" }, digits(gradient[index] - slope))));
    const heads = ["row, column", "by hand", how, "difference"];
    box.append(element("div", { class: "scroll" }, element("table", { class: "numbers" },
      element("tr", {}, ...heads.map((name) => element("th", { scope: "col" }, name))), ...rows)));
  }
  return box;
}

// ---- one number, written out -----------------------------------------------------------------------

const terms = (list) => {
  const shown = list.length > 8 ? [...list.slice(0, 7), "…", list.at(-1)] : list;
  return shown.join(" + ").replace(/\+ −/g, "− ");
};
const times = (a, b) => `${digits(a)} · ${b < 0 ? `(${digits(b)})` : digits(b)}`;

/** The equation of the chosen element with its numbers in it; "" where there is none. */
function writtenOut(key, index) {
  const s = here(), A = s.arrays, { latent: Z, samples: K, beta, likelihood } = s.network;
  const value = A[key][index], columns = s.shapes[key].at(-1) || 1;
  const i = Math.floor(index / columns), j = index % columns;
  const end = ` = ${digits(value)}`;
  const [label, what] = [key.slice(0, key.lastIndexOf(".")), key.slice(key.lastIndexOf(".") + 1)];
  const layer = s.layers[label.replace(/^(grad|after|m|v|change)\./, "")];
  const step = s.steps.find((each) => each.shows.includes(key));
  const [first, second] = step ? step.uses : [];
  const logit = (a, x) => `log(1 + e^${digits(a)}) − ${times(x, a)}`;

  if (key === "std") return `σ = e^(½ log σ²) = e^(½ · ${digits(A[s.head][Z + j])})${end}`;
  if (key === "z")
    return `z = μ + σ ε = ${digits(A[s.head][j])} + ${times(A.std[j], A.eps[index])}${end}`;
  if (key === "nll" && likelihood.kind === "bernoulli")
    return `Σ log(1 + eᵃ) − x a = ${terms(Array.from(A.x, (x, d) => logit(A[s.logits][index * A.x.length + d], x)))}${end} nats`;
  if (key === "kl") {
    const [mu, logvar] = [A[s.head][j], A[s.head][Z + j]];
    return `½ (μ² + σ² − 1 − log σ²) = ½ (${digits(mu * mu)} + ${digits(Math.exp(logvar))} − 1 − (${digits(logvar)}))${end} nats`;
  }
  if (key === "objective" && s.live)
    return `${K > 1 ? `1/${K} Σ ` : ""}reconstruction + β KL = ${digits(sum(A.nll) / K)} + ${digits(beta)} · (${terms(Array.from(A.kl, digits))})${end} nats`;
  if (key === "dlogits" && likelihood.kind === "bernoulli") {
    const [a, x] = [A[s.logits][index], A.x[index % A.x.length]];
    return `${K > 1 ? `1/${K} · ` : ""}(sigmoid(a) − x) = sigmoid(${digits(a)}) − ${digits(x)}${K > 1 ? `, over ${K}` : ""}${end}`;
  }
  if (key === "dhead" && s.live) {
    const unit = j % Z, each = (f) => terms(Array.from({ length: K }, (_, k) => f(k * Z + unit)));
    if (j < Z)
      return `dμ = dz + β μ = ${each((k) => digits(A[s.dz][k]))} + ${times(beta, A[s.head][j])}${end}`;
    const std = A.std[unit];
    return `d log σ² = ½ σ dz ε + β ½ (σ² − 1)\n= ½ · ${digits(std)} · (${each((k) => times(A[s.dz][k], A.eps[k]))}) + ${digits(beta)} · ½ · (${digits(std * std)} − 1)${end}`;
  }
  if (!layer) return "";
  if (what === "y" && layer.kind === "dense") {
    const [W, b] = [A[`${label}.W`], A[`${label}.b`]], I = layer.inputs, O = layer.outputs;
    const products = Array.from({ length: I }, (_, n) => times(A[first][i * I + n], W[n * O + j]));
    return `Σ x W + b = ${terms([...products, digits(b[j])])}${end}`;
  }
  if (what === "dx" && layer.kind === "dense") {
    const W = A[`${label}.W`], O = layer.outputs;
    const products = Array.from({ length: O }, (_, o) => times(A[first][i * O + o], W[j * O + o]));
    return `Σ dy W = ${terms(products)}${end}`;
  }
  if (what === "y" && layer.kind in ACTIVATIONS)
    return layer.kind === "relu" ? `max(${digits(A[first][index])}, 0)${end}` : `${layer.kind}(${digits(A[first][index])})${end}`;
  if (what === "dx" && layer.kind in ACTIVATIONS) {
    const [dy, y] = [A[first][index], A[second][index]];
    if (layer.kind === "relu") return `dy where y > 0, else 0: y is ${digits(y)}, dy is ${digits(dy)}${end}`;
    return layer.kind === "tanh" ? `dy (1 − y²) = ${digits(dy)} · (1 − ${digits(y * y)})${end}`
      : `dy y (1 − y) = ${digits(dy)} · ${digits(y)} · (1 − ${digits(y)})${end}`;
  }
  if (key.startsWith("grad.") && layer.kind === "dense") {
    const rows = A[second].length / layer.outputs, O = layer.outputs;
    const each = (f) => terms(Array.from({ length: rows }, (_, n) => f(n)));
    return what === "b" ? `Σ dy = ${each((n) => digits(A[second][n * O + j]))}${end}`
      : `x dy = ${each((n) => times(A[first][n * layer.inputs + i], A[second][n * O + j]))}${end}`;
  }
  const rule = s.optimizer, name = key.slice(key.indexOf(".") + 1);
  if (key.startsWith("after.") && rule.kind === "adam" && A[`m.${name}`]) {
    const mHat = ((1 - rule.beta1) / (1 - rule.beta1 ** rule.step)) * A[`m.${name}`][index];
    const vHat = ((1 - rule.beta2) / (1 - rule.beta2 ** rule.step)) * A[`v.${name}`][index];
    return `p − lr m̂ / (√v̂ + ε) = ${digits(A[name][index])} − ${digits(rule.lr)} · ${digits(mHat)} / (√${digits(vHat)} + ${digits(rule.eps)})${end}`;
  }
  return "";
}

// ---- the parts of the page ----------------------------------------------------------------------------

/** The strip's stops: an array on the way forward, and the gradient of the loss with respect to it. */
function stops(s) {
  const found = [["x", null]];
  const along = (layers, last, lastGradient) => {
    const shown = layers.filter((layer) => layer.kind !== "view");
    shown.forEach((layer, i) => {
      const after = shown[i + 1];
      const key = `${layer.label}.y`;
      found.push([key, key === last ? lastGradient : `${after.label}.dx`]);
    });
  };
  along(s.network.encoder, s.head, "dhead");
  found.push(["std", null], ["eps", null]);
  found.push(...(s.recorded.code ? [["z", null], ["code", s.dz]] : [["z", s.dz]]));
  along(s.network.decoder, s.logits, "dlogits");
  return [...found, ["nll", null], ["kl", null], ["objective", null]];
}

function showStrip() {
  const s = here(), current = stepHere();
  const tile = (key) => {
    if (!key || !s.arrays[key]) return element("span", { class: "tile none" });
    const canvas = element("canvas", { "aria-hidden": "true" }), a = s.arrays[key];
    const [rows, columns] = s.layOut(key);
    (key === "x" && s.isImage ? drawGrey : drawSigned)(canvas, a, rows, columns);
    const scale = Math.min(46 / columns, 34 / rows);
    canvas.style.width = `${Math.max(2, columns * scale)}px`;
    canvas.style.height = `${Math.max(2, rows * scale)}px`;
    const at = s.steps.findIndex((step) => step.shows.includes(key));
    return element("button", {
      class: `tile${key === "eps" ? " free" : ""}${at > page.step ? " seen" : ""}`,
      "aria-label": `${s.symbol(key)}, ${key}`, title: key,
      "aria-current": current.shows.includes(key) ? "step" : null, onclick: () => go(at),
    }, canvas);
  };
  const name = (key) => {
    const layer = s.layers[key.replace(/\.y$/, "")], symbol = s.symbol(key).replace(/^\[|\]$/g, "");
    return layer && symbol === "y" ? layer.kind : symbol;
  };
  const legend = element("div", { class: "stop legend", "aria-hidden": "true" },
    ...["", "value", "gradient"].map((word) => element("span", {}, word)));
  byId("strip").replaceChildren(legend, ...stops(s).map(([key, gradient]) => element("div", { class: "stop" },
    element("span", { class: "name" }, name(key)), tile(key), tile(gradient))));
  const marked = byId("strip").querySelector("[aria-current]");
  if (marked) {
    const strip = byId("strip"), left = marked.offsetLeft - strip.offsetLeft;
    if (left < strip.scrollLeft || left > strip.scrollLeft + strip.clientWidth - 80)
      strip.scrollLeft = left - strip.clientWidth / 2;
  }
}

function equationBox(label) {
  const { title, mathml, href } = DATA.equations[label];
  const box = element("div", { class: "equation" });
  box.innerHTML = mathml; // made by this package from its own derivations
  const name = `${label}, ${title}`;
  const where = href ? element("a", { href }, "derivation") : `docs/derivations.md, ${label}`;
  box.append(element("small", {}, `${name} · `, where));
  return box;
}

function codeBox(name) {
  const { file, line, text, href } = DATA.code[name], place = `${file}:${line}`;
  return element("details", {}, element("summary", {}, "Code: ", element("code", {}, name), ` · ${place}`),
    element("pre", {}, text), ...(href ? [element("small", {}, element("a", { href }, place))] : []));
}

function showStep() {
  const s = here(), step = stepHere(), article = byId("step"), A = s.arrays;
  const has = (key) => key in A;
  const opened = new Set([...article.querySelectorAll("details[open] code")].map((c) => c.textContent));
  const shown = [...step.shows.filter(has), ...step.shows.map((key) => key.replace(/^after\./, "change."))
    .filter((key) => key.startsWith("change.") && has(key) && !s.isChanged)];
  const isTabled = shown.some((key) => s.slopesOf(key).size > 0 && A[key].length <= FEW);
  const chosen = page.chosen && [...step.uses, ...step.shows].includes(page.chosen.key) ? page.chosen : null;
  const about = chosen || (shown.length && { key: shown[0], index: 0 });
  const text = about ? writtenOut(about.key, about.index) : "";
  const how = s.isChanged ? "central difference" : "complex step";
  article.replaceChildren(
    element("span", { class: "phase" }, step.phase), element("h2", {}, step.title),
    ...(step.place ? [element("p", { class: "small soft" }, `${step.place[0].toUpperCase()}${step.place.slice(1)}.`)] : []),
    ...step.equations.filter((label) => label in DATA.equations).map(equationBox),
    ...(step.uses.filter(has).length ? [element("h3", { class: "soft" }, "from"),
      element("div", { class: "arrays" }, ...step.uses.filter(has).map((key) => arrayFigure(key, false))),
      element("h3", { class: "soft" }, step.phase === "Update" ? "to the moments and the new parameters" : "to")] : []),
    element("div", { class: "arrays" }, ...shown.map((key) => arrayFigure(key, true))),
    ...(isTabled ? [element("p", { class: "small soft legend" },
      "In each cell: the gradient by hand, the ", `${how}, and their difference.`)] : []),
    ...(text ? [element("div", { class: "written", "aria-label": "One element, written out" },
      `${about.key} [${s.position(about.key, about.index)}]   ${text}`)] : []),
    ...step.code.map(codeBox));
  for (const code of article.querySelectorAll("details code"))
    if (opened.has(code.textContent)) code.closest("details").open = true;
}

function showWalk() {
  const s = here(), scrub = byId("scrub"), step = stepHere();
  scrub.max = s.steps.length - 1;
  scrub.value = page.step;
  scrub.setAttribute("aria-valuetext", `${page.step + 1} of ${s.steps.length}: ${step.phase}, ${step.title}`);
  byId("back").disabled = page.step === 0;
  byId("next").disabled = page.step === s.steps.length - 1;
  byId("where").textContent = `${page.step + 1} of ${s.steps.length} · ${step.phase}`;
  const [now, before] = [s.arrays.objective[0], s.recorded.objective[0]];
  byId("loss").textContent = `J = ${now.toFixed(4)}${s.isChanged ? ` (${now < before ? "−" : "+"}${Math.abs(now - before).toFixed(4)})` : " nats"}`;
  byId("reset").disabled = !s.isChanged;
}

// ---- the noise ----------------------------------------------------------------------------------------

const SCALE = 28; // pixels of the plane per unit
const reach = 110 / SCALE;

function showNoise() {
  const s = here(), { latent: Z, samples: K } = s.network, plane = byId("plane");
  const [a, b] = page.axes.map((axis) => Math.min(axis, Z - 1));
  const head = s.arrays[s.head], at = page.sample * Z;
  const point = (values) => [values[a] * SCALE, Z > 1 ? -values[b] * SCALE : 0];
  const mu = point(head), z = point(s.arrays.z.subarray(at, at + Z));
  const sd = [s.arrays.std[a] * SCALE, Z > 1 ? s.arrays.std[b] * SCALE : 1.5];
  const circles = [1, 2, 3].map((r) => `<circle class="prior" r="${r * SCALE}"/>`).join("");
  plane.innerHTML = `${circles}<path class="axis" d="M-110 0H110M0-110V110"/>
    <ellipse class="posterior" cx="${mu[0]}" cy="${mu[1]}" rx="${sd[0]}" ry="${sd[1]}"/>
    <path class="path" d="M${mu}L${z}"/><circle class="mean" cx="${mu[0]}" cy="${mu[1]}" r="3"/>
    <circle class="z" id="dot" cx="${z[0]}" cy="${z[1]}" r="7"/>
    <text x="${mu[0] + 6}" y="${mu[1] + 13}">μ</text><text x="${z[0] + 9}" y="${z[1] - 7}">z</text>`;
  byId("planeText").textContent = s.live
    ? "Drag z: μ and σ (the ellipse) stay, ε = (z − μ)/σ moves. Circles: the prior, 1, 2 and 3 σ."
    : `Nothing can be moved here: ${s.notLive}. The numbers are those that were recorded.`;
  const box = byId("sliders");
  if (box.dataset.of !== `${page.model} ${page.sample}`) buildSliders(box, s, Z, K);
  for (let j = 0; j < Z; j++) {
    const value = s.eps[at + j], input = box.querySelector(`#eps${j}`);
    if (document.activeElement !== input) input.value = value;
    input.closest(".slider").querySelector("output").textContent = minus(value.toFixed(2));
  }
}

function buildSliders(box, s, Z, K) {
  box.dataset.of = `${page.model} ${page.sample}`;
  const slider = (j) => element("div", { class: "slider" },
    element("label", { for: `eps${j}` }, `ε${K > 1 ? ` of ${page.sample + 1},` : ""} ${j + 1}`),
    element("input", { type: "range", id: `eps${j}`, min: -4, max: 4, step: 0.01,
      disabled: s.live ? null : "", oninput: (event) => moveNoise(j, Number(event.target.value)) }),
    element("output", { for: `eps${j}` }));
  const samples = element("select", { "aria-label": "Sample of z", onchange: (event) => {
    page.sample = Number(event.target.value);
    showAll();
  } }, ...Array.from({ length: K }, (_, k) => element("option", { value: k }, `sample ${k + 1}`)));
  samples.value = page.sample;
  box.replaceChildren(...(K > 1 ? [samples] : []), ...Array.from({ length: Z }, (_, j) => slider(j)));
}

function moveNoise(unit, value) {
  const s = here();
  if (!s.live) return;
  s.setNoise(page.sample * s.network.latent + unit, value);
  showAll();
}

function moveZ(x, y) {
  const s = here(), Z = s.network.latent, head = s.arrays[s.head];
  const [a, b] = page.axes.map((axis) => Math.min(axis, Z - 1));
  const clip = (value) => Math.max(-8, Math.min(8, value));
  const move = (unit, z) => s.setNoise(page.sample * Z + unit, clip((z - head[unit]) / s.arrays.std[unit]));
  if (!s.live) return;
  move(a, x);
  if (Z > 1) move(b, y);
  showAll();
}

function listenToPlane() {
  const plane = byId("plane");
  const moveTo = (event) => {
    const box = plane.getBoundingClientRect();
    moveZ(((event.clientX - box.left) / box.width - 0.5) * 2 * reach,
      -((event.clientY - box.top) / box.height - 0.5) * 2 * reach);
  };
  let dragging = false;
  plane.addEventListener("pointerdown", (event) => {
    dragging = true;
    plane.setPointerCapture(event.pointerId);
    moveTo(event);
  });
  plane.addEventListener("pointermove", (event) => dragging && moveTo(event));
  plane.addEventListener("pointerup", () => (dragging = false));
  plane.addEventListener("pointercancel", () => (dragging = false));
  plane.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const s = here(), at = page.sample * s.network.latent, step = event.shiftKey ? 0.5 : 0.1;
    const [a, b] = page.axes.map((axis) => Math.min(axis, s.network.latent - 1));
    moveZ(s.arrays.z[at + a] + by[0] * step, s.arrays.z[at + b] + by[1] * step);
  });
}

// ---- what if --------------------------------------------------------------------------------------------

function showWeight() {
  const s = here(), box = byId("weight");
  if (!s.live) {
    box.replaceChildren(element("p", { class: "small soft" }, `Not for this model: ${s.notLive}.`));
    return;
  }
  const chosen = page.chosen && s.parameters.includes(page.chosen.key) ? page.chosen
    : s.steepest();
  const { key, index } = chosen, columns = s.shapes[key].at(-1);
  const value = s.arrays[key][index], before = s.recorded[key][index];
  const signature = `${page.model} ${key} ${index}`;
  if (box.dataset.of !== signature) {
    box.dataset.of = signature;
    const names = element("select", { id: "parameter", "aria-label": "Parameter", onchange: (event) =>
      choose(event.target.value, 0) }, ...s.parameters.map((name) => element("option", { value: name }, name)));
    names.value = key;
    const spot = (id, label, now, most, toIndex) => element("input", { type: "number", id, "aria-label": label,
      min: 1, max: most, value: now + 1, style: "width: 4.6rem", onchange: (event) =>
        choose(key, toIndex(Math.max(1, Math.min(most, Number(event.target.value))) - 1)) });
    const rows = s.recorded[key].length / columns, [i, j] = [Math.floor(index / columns), index % columns];
    const set = (event) => {
      if (event.target.value === "" || Number.isNaN(Number(event.target.value))) return;
      s.setWeight(key, index, Number(event.target.value));
      showAll();
    };
    const round = (x) => Math.round(x * 100) / 100;
    box.replaceChildren(
      element("div", { class: "row" }, names, ...(rows > 1 ? [spot("row", "Row", i, rows, (n) => n * columns + j)] : []),
        spot("column", "Column", j, columns, (n) => i * columns + n)),
      element("p", { class: "small soft", style: "margin: 0.5rem 0 0.2rem" }, "Or click a weight in a table or picture."),
      element("input", { type: "range", id: "weightSlide", min: round(before - 2), max: round(before + 2), step: 0.01,
        "aria-label": "The value of this weight", oninput: set }),
      element("div", { class: "row" }, element("input", { type: "number", id: "weightValue", step: "any",
        "aria-label": "The value of this weight, as a number", onchange: set }),
        element("span", { class: "small soft number", id: "weightWas" })));
  }
  for (const id of ["weightSlide", "weightValue"])
    if (document.activeElement !== byId(id)) byId(id).value = value;
  const slope = s.arrays[`grad.${key}`][index];
  byId("weightWas").textContent = `${value === before ? "" : `was ${digits(before)}, `}dJ/dw = ${digits(slope)}`;
}

// ---- walking ----------------------------------------------------------------------------------------------

function showAll() {
  showWalk();
  showStrip();
  showStep();
  showNoise();
  showWeight();
}

function go(step) {
  page.step = Math.max(0, Math.min(here().steps.length - 1, step));
  showAll();
}

function choose(key, index) {
  page.chosen = { key, index };
  showStep();
  showWeight();
}

function chooseModel(index) {
  Object.assign(page, { model: index, step: 0, chosen: null, sample: 0 });
  [...byId("models").children].forEach((tab, i) => tab.setAttribute("aria-selected", i === index));
  byId("about").textContent = here().about;
  byId("agreement").textContent = here().live
    ? `Recorded in Python and computed anew by this page, all arrays of the step differ by ${digits(here().agreement())} at most, relative to the largest element of each.`
    : `The numbers of this model are as recorded in Python; this page does not compute them anew, for ${here().notLive}.`;
  showAll();
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea, summary") && event.target.id !== "scrub") return;
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const to = { ArrowRight: page.step + 1, ArrowDown: null, ArrowLeft: page.step - 1, Home: 0,
    End: here().steps.length - 1 }[event.key];
  if (to === undefined || to === null) return;
  event.preventDefault();
  go(to);
});
byId("scrub").addEventListener("input", (event) => go(Number(event.target.value)));
byId("back").addEventListener("click", () => go(page.step - 1));
byId("next").addEventListener("click", () => go(page.step + 1));
byId("reset").addEventListener("click", () => {
  here().reset();
  showAll();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showAll);
byId("models").replaceChildren(...specimens.map((s, i) =>
  element("button", { role: "tab", onclick: () => chooseModel(i) }, s.name)));
byId("made").textContent = DATA.made;
listenToPlane();
chooseModel(0);
