/* The explorer: the decoder and the encoder run in this page, on weights that lie in it. */

"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const { network, units } = DATA;
const D = network.pixels, Z = network.latent;
const [HEIGHT, WIDTH, CHANNELS = 1] = DATA.imageShape;
const [LOW, HIGH] = DATA.range;
const PRIOR = 3.4; // half the width of the plane at first, in standard deviations of the prior
const weights = Object.fromEntries(Object.entries(DATA.weights).map(([name, packed]) => [name, unpack(packed)]));
const fixed = (value, places = 2) => minus(value.toFixed(places));

// ---- the model ------------------------------------------------------------------------------------

let label = network.labels ? DATA.labels[0] : null; // the one that is given, of a conditional model

/** Numbers with the label behind them, one-hot: [a | c]. */
function withLabel(a, given) {
  const row = new Float32Array(a.length + network.labels);
  row.set(a);
  if (network.labels) row[a.length + given] = 1;
  return row;
}

/** The logits of p(x|z), or of p(x|z, c): with a prior network z here is u, of z = μ_p + σ_p u  (E221). */
function logitsOf(z) {
  if (network.prior.length) {
    const head = runLayers(network.prior, weights, withLabel([], label));
    z = Array.from(z, (u, j) => head[j] + Math.exp(head[Z + j] / 2) * u);
  }
  return runLayers(network.decoder, weights, withLabel(z, label));
}

/** E[x|z] of one latent vector. */
const decode = (z) => pixelMeans(network.likelihood, logitsOf(z), D);

/** μ and σ of q(z|x), or of q(z|x, c). */
function encode(x, given = label) {
  const head = runLayers(network.encoder, weights, withLabel(x, given));
  return { mu: head.subarray(0, Z), std: head.subarray(Z).map((logvar) => Math.exp(logvar / 2)) };
}

/** −log p(x|z), and the KL of every unit, in nats. */
function lossTerms(x, { mu, std }, z) {
  return {
    nll: sum(pixelNll(network.likelihood, logitsOf(z), x)),
    kl: Array.from(mu, (m, j) => klOfUnit(m, 2 * Math.log(std[j]))),
  };
}

/** One draw from N(0, 1), by Box and Muller. */
const gaussian = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const gaussians = () => Float64Array.from({ length: Z }, gaussian);

const images = (() => {
  const all = unpack(DATA.images), scale = DATA.images.levels || 1;
  return Array.from({ length: DATA.images.shape[0] }, (_, n) =>
    Float64Array.from(all.subarray(n * D, (n + 1) * D), (each) => each / scale));
})();

/** Draw an image of the data: grey or in colours, from LOW as black to HIGH as white. */
function drawImage(canvas, x) {
  const scaled = (i) => (x[i] - LOW) / (HIGH - LOW);
  if (CHANNELS === 1) return drawGrey(canvas, x.map((_, i) => scaled(i)), HEIGHT, WIDTH);
  return draw(canvas, Array.from({ length: HEIGHT * WIDTH }, (_, i) => i), HEIGHT, WIDTH, (i, out, at) => {
    for (let c = 0; c < 3; c++) out[at + c] = 255 * scaled(i * CHANNELS + Math.min(c, CHANNELS - 1));
  });
}

// ---- the state ---------------------------------------------------------------------------------------

const state = {
  z: new Float64Array(Z), // of the picture at the top
  image: images[0], q: encode(images[0]), eps: gaussians(), // of the image that goes through
  epoch: DATA.epochs.length, // which plane is shown; the last is that of the model itself
  times: [], // milliseconds of the last pictures
  first: images[0], last: images[Math.min(1, images.length - 1)], // the ends of a way, and their labels
  labels: { first: label, last: network.labels ? DATA.labels[Math.min(1, images.length - 1)] : null },
};
const sampled = () => Float64Array.from(state.q.mu, (mu, j) => mu + state.q.std[j] * state.eps[j]);
const isPlane = Z === 2;

/** The picture at z, and how long it took to compute and draw. */
function showDecoded() {
  const start = performance.now();
  drawImage(byId("decoded"), pictureAt(state.z));
  state.times.push(performance.now() - start);
  if (state.times.length > 60) state.times.shift();
  const shown = Array.from(state.z, (each) => fixed(each)).join(", ");
  byId("where").textContent = Z > 4 ? "" : `z = (${shown})`; // of more units the sliders say it
  const sorted = [...state.times].sort((a, b) => a - b), median = sorted[sorted.length >> 1];
  byId("speed").textContent = isPast() ? "The nearest picture that the run kept, in 16 grey levels."
    : `${median.toFixed(1)} ms per picture`;
}

/** E[x|z] of the model as it is, or after an earlier epoch, of which the run kept pictures. */
function pictureAt(z) {
  if (!isPast()) return decode(z);
  const { side, reach, pixels } = DATA.epochs[state.epoch];
  const near = (value) => Math.max(0, Math.min(side - 1, Math.round(((value + reach) / (2 * reach)) * (side - 1))));
  const at = (near(-z[1]) * side + near(z[0])) * D;
  return Float64Array.from(pixels.subarray(at, at + D), (each) => LOW + ((HIGH - LOW) * each) / 15);
}
const isPast = () => state.epoch < DATA.epochs.length;

/** Show what follows from a new z, once before the next frame. */
let asked = false;
function moveTo(z) {
  state.z.set(z);
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    showDecoded();
    (isPlane ? showMarks : showSliders)();
  });
}

// ---- two units: a plane --------------------------------------------------------------------------------

const COLOURS = ["#4878d0", "#ee854a", "#3fa35c", "#d65f5f", "#956cb4", "#8c613c", "#dc7ec0", "#797979", "#b5a52a", "#3fa9b5"];
const means = unpack(DATA.means);
const reach = isPlane ? Math.max(PRIOR, ...[0, 1].map((j) => quantile(means, j, 0.995) + 0.3)) : PRIOR;

function quantile(a, unit, share) {
  const sorted = Array.from({ length: a.length / Z }, (_, n) => Math.abs(a[n * Z + unit])).sort((p, q) => p - q);
  return sorted[Math.floor(share * (sorted.length - 1))];
}

function buildPlane() {
  const classes = [...new Set(DATA.labels || [])].sort((a, b) => a - b).slice(0, COLOURS.length);
  const legend = classes.map((label) => element("span", {},
    element("i", { style: `background: ${COLOURS[label % COLOURS.length]}` }), nameOf(label)));
  const epochs = DATA.epochs.length
    ? [element("div", { class: "epochs" },
        element("button", { id: "play", "aria-label": "Play the epochs" }, "▶"),
        element("input", { type: "range", id: "epoch", min: 0, max: DATA.epochs.length, step: 1,
          value: DATA.epochs.length, "aria-label": "Epoch", oninput: (event) => chooseEpoch(Number(event.target.value)) }),
        element("output", { id: "epochText", class: "small number" }))]
    : [];
  byId("coordinates").replaceChildren(
    element("canvas", { id: "plane", tabindex: 0, role: "application",
      "aria-label": "Latent plane: drag, or use the arrow keys, to move z" }),
    element("div", { class: "legend" }, ...legend),
    element("div", { class: "row" },
      ...[["pictures", "decoded pictures"], ["points", "test images"], ["contours", "the prior"]].map(([id, text]) =>
        element("label", { class: "check" }, element("input", { type: "checkbox", id,
          checked: id === "pictures" ? null : "", onchange: showPlane }), text))),
    ...epochs);
  const plane = byId("plane");
  const toZ = (event) => {
    const box = plane.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width - 0.5) * 2 * reach,
      -((event.clientY - box.top) / box.height - 0.5) * 2 * reach];
  };
  let dragging = false;
  plane.addEventListener("pointerdown", (event) => {
    dragging = true;
    plane.setPointerCapture(event.pointerId);
    moveTo(toZ(event));
  });
  plane.addEventListener("pointermove", (event) => {
    if (dragging || event.pointerType === "mouse") moveTo(toZ(event));
  });
  for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => (dragging = false));
  plane.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    const step = event.shiftKey ? 0.5 : 0.1;
    moveTo(state.z.map((each, j) => Math.max(-reach, Math.min(reach, each + step * by[j]))));
  });
  new ResizeObserver(showPlane).observe(plane);
  if (DATA.epochs.length) byId("play").addEventListener("click", play);
}

/** The plane without what moves: pictures, points and contours; kept to be drawn under the marks. */
let ground = null;
function showPlane() {
  const plane = byId("plane"), size = Math.round(plane.clientWidth * Math.min(2, devicePixelRatio));
  if (size === 0) return;
  ground = new OffscreenCanvas(size, size);
  plane.width = plane.height = size;
  const context = ground.getContext("2d"), { zero, ink } = schemeColours(), unit = size / (2 * reach);
  const place = (z1, z2) => [(z1 + reach) * unit, (reach - z2) * unit];
  context.fillStyle = `rgb(${zero})`;
  context.fillRect(0, 0, size, size);
  if (byId("pictures").checked) paintPictures(context, place, unit);
  if (byId("contours").checked) {
    const over = byId("pictures").checked ? "255, 255, 255" : ink;
    context.strokeStyle = `rgba(${over}, 0.45)`;
    context.fillStyle = `rgba(${over}, 0.8)`;
    context.lineWidth = size / 500;
    context.font = `italic ${Math.round(size / 48)}px serif`;
    for (const r of [1, 2, 3]) {
      context.beginPath();
      context.arc(...place(0, 0), r * unit, 0, 2 * Math.PI);
      context.stroke();
      context.fillText(`${r}σ`, ...place(0.04, r + 0.05));
    }
  }
  if (byId("points").checked) {
    const a = isPast() ? DATA.epochs[state.epoch].places : means;
    const radius = Math.max(1.8, size / 220);
    context.strokeStyle = "black";
    context.lineWidth = size / 700;
    for (let n = 0; n < a.length / 2; n++) {
      if (network.labels && DATA.labels[n] !== label) continue; // it lies in the plane of its own
      context.fillStyle = COLOURS[(DATA.labels ? DATA.labels[n] : 0) % COLOURS.length];
      context.beginPath();
      context.arc(...place(a[2 * n], a[2 * n + 1]), radius, 0, 2 * Math.PI);
      context.fill();
      if (byId("pictures").checked) context.stroke();
    }
  }
  showMarks();
}

/** A grid of decoded pictures: computed here, or as the run kept them. */
function paintPictures(context, place, unit) {
  const past = isPast() ? DATA.epochs[state.epoch] : null, side = past ? past.side : 15;
  const far = past ? past.reach : 3, step = (2 * far) / (side - 1), size = step * unit;
  const small = new OffscreenCanvas(WIDTH, HEIGHT);
  context.imageSmoothingEnabled = false;
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++) {
      const z = [-far + column * step, far - row * step];
      drawImage(small, pictureAt(z));
      const [left, top] = place(z[0] - step / 2, z[1] + step / 2);
      context.drawImage(small, left, top, size, size);
    }
}

/** The image's posterior as an ellipse, its z, and the z that is decoded. */
function showMarks() {
  if (!ground) return;
  const plane = byId("plane"), context = plane.getContext("2d"), size = plane.width;
  const { ink, zero } = schemeColours(), unit = size / (2 * reach);
  const place = (z1, z2) => [(z1 + reach) * unit, (reach - z2) * unit];
  context.drawImage(ground, 0, 0);
  if (!isPast()) {
    const { mu, std } = state.q;
    context.beginPath();
    context.ellipse(...place(mu[0], mu[1]), std[0] * unit, std[1] * unit, 0, 0, 2 * Math.PI);
    for (const [colour, wide] of [[zero, 90], [ink, 240]]) { // seen on any ground
      context.strokeStyle = `rgb(${colour})`;
      context.lineWidth = size / wide;
      context.stroke();
    }
  }
  context.lineWidth = size / 300;
  context.beginPath();
  context.arc(...place(state.z[0], state.z[1]), size / 60, 0, 2 * Math.PI);
  context.fillStyle = "#f2c230";
  context.strokeStyle = `rgb(${zero})`;
  context.fill();
  context.stroke();
}

function chooseEpoch(index) {
  state.epoch = index;
  byId("epoch").value = index;
  byId("epochText").textContent = `epoch ${isPast() ? DATA.epochs[index].epoch : DATA.epoch}`;
  showPlane();
  showDecoded();
}

let playing = 0;
function play() {
  clearInterval(playing);
  let next = 0;
  playing = setInterval(() => {
    chooseEpoch(next);
    if (next++ === DATA.epochs.length) clearInterval(playing);
  }, 600);
}

/** The pictures of the epochs, which lie compressed in the page. */
async function unpackEpochs() {
  for (const epoch of DATA.epochs) {
    const bytes = Uint8Array.from(atob(epoch.plane), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const pairs = new Uint8Array(await new Response(stream).arrayBuffer()); // two pixels in a byte
    epoch.pixels = new Uint8Array(2 * pairs.length);
    pairs.forEach((pair, i) => epoch.pixels.set([pair >> 4, pair & 15], 2 * i));
    epoch.places = unpack(epoch.means);
  }
}

// ---- more units: sliders, the busiest first --------------------------------------------------------------

/** The numbers of the units: of a plane as they are, of more by their KL. */
function unitsInOrder() {
  const all = Array.from({ length: Z }, (_, j) => j);
  return isPlane ? all : all.sort((a, b) => units.kl[b] - units.kl[a]);
}

function buildSliders() {
  byId("coordinates").replaceChildren(element("div", { class: "units" }, ...unitsInOrder().map((j) => {
    const far = Math.max(3, Math.abs(units.mean[j]) + 3 * units.std[j]).toFixed(1);
    return element("div", { class: `unit${units.active[j] ? "" : " inactive"}` },
      element("label", { for: `z${j}` }, `z${j + 1}`),
      element("input", { type: "range", id: `z${j}`, min: -far, max: far, step: 0.01, value: 0, oninput: (event) => {
        state.z[j] = Number(event.target.value);
        moveTo(state.z);
      } }),
      element("output", { for: `z${j}` }),
      element("span", { class: "kl small soft" }, units.active[j] ? `${fixed(units.kl[j])} nats` : "inactive"));
  })));
}

function showSliders() {
  for (let j = 0; j < Z; j++) {
    const input = byId(`z${j}`);
    if (document.activeElement !== input) input.value = state.z[j];
    input.parentNode.querySelector("output").textContent = fixed(state.z[j]);
  }
}

// ---- an image through the model -----------------------------------------------------------------------------

/** Encode an image and show all that follows; with `follow`, the picture at the top goes there, too. */
function chooseImage(x, follow = true) {
  state.image = x;
  state.q = encode(x);
  drawImage(byId("pad"), x);
  showThrough(follow);
}

/** Give another label: the same z, the same image, and all that follows. */
function chooseLabel(given) {
  label = byId("label").value = given;
  state.q = encode(state.image);
  if (isPlane) showPlane();
  showDecoded();
  showWay();
  showThrough(false);
}

const nameOf = (given) => String(DATA.classNames[given] || given);

function showThrough(follow) {
  const { q, eps } = state, z = sampled(), order = unitsInOrder();
  drawImage(byId("reconstruction"), decode(z));
  const x = (value) => `${(50 + (50 * value) / 4).toFixed(2)}%`;
  byId("posterior").replaceChildren(...order.map((j) => {
    const bar = element("div", { class: "bar", title: `ε = ${fixed(eps[j])}` }, element("span", {}, `z${j + 1}`),
      element("span"), element("span", { class: "number" }, `${fixed(q.mu[j])} ± ${fixed(q.std[j])}`));
    const [low, high] = [q.mu[j] - q.std[j], q.mu[j] + q.std[j]];
    bar.children[1].innerHTML = `<svg aria-hidden="true"><line x1="50%" x2="50%" y1="0" y2="16" stroke="var(--line)"/>
      <line x1="${x(low)}" x2="${x(high)}" y1="8" y2="8" stroke="var(--accent)" stroke-width="5" opacity="0.45"/>
      <circle cx="${x(q.mu[j])}" cy="8" r="3.5" fill="var(--accent)"/><circle cx="${x(z[j])}" cy="8" r="4" fill="var(--focus)"/></svg>`;
    return bar;
  }));
  showElbo(lossTerms(state.image, q, z), order);
  if (follow && !isPast()) moveTo(z);
}

function showElbo({ nll, kl }, order) {
  const total = sum(kl), all = Math.max(nll, 0) + total;
  const shown = order.slice(0, 6), rest = sum(order.slice(6).map((j) => kl[j]));
  const part = (value, colour, name) => element("span", { title: `${name}: ${fixed(value)} nats`,
    style: `width: ${(100 * Math.max(value, 0)) / all}%; background: ${colour}` });
  const row = (name, value, part) => [element("dt", { class: part ? "part" : null }, name),
    element("dd", { class: "number" }, fixed(value))];
  byId("elbo").replaceChildren(
    element("div", { class: "terms", role: "img", "aria-label": `reconstruction ${fixed(nll)}, KL ${fixed(total)} nats` },
      part(nll, "var(--plus)", "reconstruction"),
      ...order.map((j) => part(kl[j], "var(--minus)", `KL of z${j + 1}`))),
    element("dl", {}, ...row("−log p(x|z)", nll), ...row("KL", total),
      ...(Z > 1 ? shown.flatMap((j) => row(`of z${j + 1}`, kl[j], true)) : []),
      ...(Z > 6 ? row(`of ${Z - 6} more`, rest, true) : []),
      ...row("ELBO, one draw of ε", -(nll + total))));
}

/** Drawing: strokes on a large sheet, brought to the size and the place of the training images. */
const SHEET = 280;
const sheet = document.createElement("canvas");
sheet.width = Math.round((SHEET * WIDTH) / Math.max(WIDTH, HEIGHT));
sheet.height = Math.round((SHEET * HEIGHT) / Math.max(WIDTH, HEIGHT));
const pen = sheet.getContext("2d", { willReadFrequently: true });

function clearSheet() {
  pen.fillStyle = "black";
  pen.fillRect(0, 0, sheet.width, sheet.height);
}

/** The image on the sheet as the model sees images. */
function fromSheet(source = sheet) {
  const small = document.createElement("canvas");
  [small.width, small.height] = [WIDTH, HEIGHT];
  const context = small.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, WIDTH, HEIGHT);
  const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
  const levels = DATA.images.levels === 1 ? 1 : 255; // binary pixels stay binary
  return Float64Array.from({ length: D }, (_, i) => {
    const value = data[4 * Math.floor(i / CHANNELS) + (CHANNELS > 1 ? i % CHANNELS : 0)] / 255;
    return LOW + (HIGH - LOW) * (Math.round(value * levels) / levels);
  });
}

function listenToPad() {
  const pad = byId("pad");
  const spot = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * sheet.width, ((event.clientY - box.top) / box.height) * sheet.height];
  };
  let drawing = false;
  pad.addEventListener("pointerdown", (event) => {
    if (!drawing && state.image !== state.drawn) clearSheet();
    drawing = true;
    pad.setPointerCapture(event.pointerId);
    pen.beginPath();
    pen.moveTo(...spot(event));
  });
  pad.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    Object.assign(pen, { strokeStyle: "white", lineCap: "round", lineJoin: "round",
      lineWidth: SHEET / Math.min(14, Math.max(WIDTH, HEIGHT) / 1.6) });
    pen.lineTo(...spot(event));
    pen.stroke();
    state.drawn = fromSheet();
    chooseImage(state.drawn);
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (drawing = false));
  byId("clear").addEventListener("click", () => {
    clearSheet();
    state.drawn = fromSheet();
    chooseImage(state.drawn);
  });
}

/** A picture from a file: its middle, in grey; ink on paper is turned into light on dark. */
async function openFile(file) {
  const picture = await createImageBitmap(file);
  const share = Math.min(picture.width / sheet.width, picture.height / sheet.height);
  const [wide, high] = [sheet.width * share, sheet.height * share];
  pen.drawImage(picture, (picture.width - wide) / 2, (picture.height - high) / 2, wide, high, 0, 0, sheet.width, sheet.height);
  if (CHANNELS === 1) {
    const content = pen.getImageData(0, 0, sheet.width, sheet.height), { data } = content;
    const grey = (i) => 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
    let total = 0;
    for (let i = 0; i < data.length; i += 4) total += grey(i);
    const paper = total / (data.length / 4) > 128;
    for (let i = 0; i < data.length; i += 4) data[i] = data[i + 1] = data[i + 2] = paper ? 255 - grey(i) : grey(i);
    pen.putImageData(content, 0, 0);
  }
  state.drawn = fromSheet();
  chooseImage(state.drawn);
}

function listenToFiles() {
  const target = byId("pad");
  byId("file").addEventListener("change", (event) => event.target.files[0] && openFile(event.target.files[0]));
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("over");
  });
  target.addEventListener("dragleave", () => target.classList.remove("over"));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("over");
    if (event.dataTransfer.files[0]) openFile(event.dataTransfer.files[0]);
  });
}

// ---- from one image to another ---------------------------------------------------------------------------------

const STOPS = 9;

/** Between two latent vectors, along the line or along the sphere  (E62). */
function between(za, zb, t, path) {
  const line = () => za.map((each, j) => (1 - t) * each + t * zb[j]);
  const [ra, rb] = [za, zb].map((z) => Math.hypot(...z));
  if (path === "linear" || ra === 0 || rb === 0) return line();
  const cosine = sum(za.map((each, j) => (each * zb[j]) / (ra * rb)));
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine)));
  if (Math.sin(angle) < 1e-6) return line();
  const length = (1 - t) * ra + t * rb;
  return za.map((each, j) =>
    (length * ((Math.sin((1 - t) * angle) * each) / ra + (Math.sin(t * angle) * zb[j]) / rb)) / Math.sin(angle));
}

const meanOf = (end) => Float64Array.from(encode(state[end], state.labels[end]).mu);
const onTheWay = (t) => between(meanOf("first"), meanOf("last"), t, byId("path").value);

function showWay() {
  const ends = [state.first, state.last].map((x, i) => {
    const canvas = element("canvas", { role: "img", "aria-label": i ? "The last image" : "The first image" });
    drawImage(canvas, x);
    return canvas;
  });
  byId("ends").replaceChildren(ends[0], "→", ends[1]);
  byId("way").replaceChildren(...Array.from({ length: STOPS }, (_, i) => {
    const t = i / (STOPS - 1), canvas = element("canvas", { "aria-hidden": "true" });
    drawImage(canvas, decode(onTheWay(t)));
    return element("button", { "aria-label": `${Math.round(100 * t)} % of the way`, onclick: () => goAlong(t) }, canvas);
  }));
}

function goAlong(t) {
  byId("along").value = t;
  if (isPast()) chooseEpoch(DATA.epochs.length);
  moveTo(onTheWay(t));
}

// ---- all together ------------------------------------------------------------------------------------------------

function showTexts() {
  const active = units.active.filter(Boolean).length, { error } = DATA;
  byId("about").textContent = `The model of ${DATA.name} after epoch ${DATA.epoch}. Encoder and decoder run in this page.`;
  byId("spaceTitle").textContent = isPlane ? "The latent plane" : `${Z} latent unit${Z > 1 ? "s" : ""}`;
  byId("spaceText").textContent = isPlane
    ? "Move over the plane: the picture is E[x|z] at the pointer. Points are μ of test images, circles the prior; the ellipse is q(z|x), μ ± σ, of the image below."
    : `Sorted by KL, the mean over ${DATA.means.shape[0]} test images; ${active} of ${Z} are active. Moving an inactive unit, in grey, changes next to nothing.`;
  if (network.labels)
    byId("spaceText").textContent += ` Another label leaves z as it is, and changes what it means${isPlane ? "; points are those with this label" : ""}.`;
  byId("throughText").textContent = `Choose a test image, draw one, or drop a picture. The likelihood: ${network.likelihood.name}.`;
  const small = (value) => minus(value.toExponential(1));
  byId("precision").textContent = `The weights lie here in float16, each array scaled by its largest element. Measured in Python on ${error.images} test images against the model itself: weights differ by ${small(error.weights)} (the largest ‖ŵ − w‖ / ‖w‖ of an array), E[x|z] at z = μ by ${small(error.means)} at most in any pixel, the mean ELBO by ${small(error.elbo)} nats per image.`;
  byId("made").textContent = DATA.made;
}

function showThumbs() {
  byId("thumbs").replaceChildren(...images.map((x, n) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    drawImage(canvas, x);
    const its = DATA.labels ? `, ${nameOf(DATA.labels[n])}` : "";
    return element("button", { "aria-label": `Test image ${n}${its}`, onclick: () => {
      if (network.labels) chooseLabel(DATA.labels[n]);
      chooseImage(x);
    } }, canvas);
  }));
}

function buildLabels() {
  if (!network.labels) return;
  const options = Array.from({ length: network.labels }, (_, given) => element("option", { value: given }, nameOf(given)));
  const choice = element("select", { id: "label", onchange: (event) => chooseLabel(Number(event.target.value)) }, ...options);
  byId("spaceText").after(element("p", { class: "row" }, element("label", {}, "given the label ", choice)));
  choice.value = label;
}

async function begin() {
  await unpackEpochs();
  showTexts();
  (isPlane ? buildPlane : buildSliders)();
  if (isPlane && DATA.epochs.length) chooseEpoch(DATA.epochs.length);
  clearSheet();
  showThumbs();
  buildLabels();
  chooseImage(images[0]);
  showWay();
  listenToPad();
  listenToFiles();
  byId("draw").addEventListener("click", () => moveTo(gaussians()));
  byId("origin").addEventListener("click", () => moveTo(new Float64Array(Z)));
  byId("resample").addEventListener("click", () => {
    state.eps = gaussians();
    showThrough(true);
  });
  byId("mean").addEventListener("click", () => {
    state.eps = new Float64Array(Z);
    showThrough(true);
  });
  byId("path").addEventListener("change", showWay);
  byId("along").addEventListener("input", (event) => goAlong(Number(event.target.value)));
  for (const [id, end] of [["asFirst", "first"], ["asLast", "last"]])
    byId(id).addEventListener("click", () => {
      state[end] = state.image;
      state.labels[end] = label;
      showWay();
    });
  if (isPlane) matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showPlane);
}
const ready = begin();
