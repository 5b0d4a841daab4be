/* A variational autoencoder in plain JavaScript: its maps forward, its loss, its gradients.

   One formula a function; the labels, such as E3, are those of the derivations. Arrays are typed
   and flat, row by row: x (B, I) is B rows of I numbers. dy is the gradient of the loss with
   respect to y. The Python package computes the same; tests hold this file equal to it. */

"use strict";

// ---- layers ------------------------------------------------------------------------------------

/** y = x W + b  (E3): x (B, I), W (I, O), b (O) -> y (B, O). */
function dense(x, W, b, y) {
  const O = b.length, I = W.length / O, B = y.length / O;
  for (let n = 0; n < B; n++) {
    const out = y.subarray(n * O, (n + 1) * O);
    out.set(b);
    for (let i = 0; i < I; i++) {
      const xi = x[n * I + i];
      if (xi === 0) continue; // a black pixel, or a unit that a ReLU has silenced
      const row = i * O;
      for (let o = 0; o < O; o++) out[o] += xi * W[row + o];
    }
  }
}

/** dx = dy Wᵀ  (E4): dy (B, O) -> dx (B, I). */
function denseGradInput(dy, W, dx, O) {
  const I = W.length / O, B = dy.length / O;
  for (let n = 0; n < B; n++) {
    for (let i = 0; i < I; i++) {
      let sum = 0;
      for (let o = 0; o < O; o++) sum += dy[n * O + o] * W[i * O + o];
      dx[n * I + i] = sum;
    }
  }
}

/** dW = xᵀ dy, db = Σ_rows dy  (E5). */
function denseGradParams(x, dy, dW, db) {
  const O = db.length, I = dW.length / O, B = dy.length / O;
  dW.fill(0);
  db.fill(0);
  for (let n = 0; n < B; n++) {
    for (let o = 0; o < O; o++) db[o] += dy[n * O + o];
    for (let i = 0; i < I; i++) {
      const xi = x[n * I + i];
      if (xi === 0) continue;
      for (let o = 0; o < O; o++) dW[i * O + o] += xi * dy[n * O + o];
    }
  }
}

/** 1 / (1 + e⁻ˣ) = ½ tanh(½ x) + ½  (E6). */
const sigmoid = (x) => 0.5 * Math.tanh(0.5 * x) + 0.5;

/** The activations: y from x, and dy/dx from y  (E6 to E11). */
const ACTIVATIONS = {
  relu: { value: (x) => Math.max(x, 0), slope: (y) => (y > 0 ? 1 : 0) },
  tanh: { value: Math.tanh, slope: (y) => (1 - y) * (1 + y) },
  sigmoid: { value: sigmoid, slope: (y) => y * (1 - y) },
};

/** small[p, q, o] = b[o] + Σ big[s p − t + i, r q − l + j, c] K[i, j, c, o]  (E35). */
function convolve(layer, x, K, b, y) {
  const [H, W, C] = layer.big, [h, w, O] = layer.small;
  eachTap(layer, (p, q, P, Q, tap) => {
    for (let c = 0; c < C; c++) {
      const value = x[(P * W + Q) * C + c], row = (tap * C + c) * O, out = (p * w + q) * O;
      if (value === 0) continue;
      for (let o = 0; o < O; o++) y[out + o] += value * K[row + o];
    }
  }, () => fillRows(y, b, h * w));
}

/** big[P, Q, o] = b[o] + Σ W[i, j, o, c] small[p, q, c], the adjoint of a convolution  (E38). */
function convolveTransposed(layer, x, K, b, y) {
  const [H, W, O] = layer.big, [h, w, C] = layer.small;
  eachTap(layer, (p, q, P, Q, tap) => {
    for (let o = 0; o < O; o++) {
      let sum = 0;
      const row = (tap * O + o) * C, at = (p * w + q) * C;
      for (let c = 0; c < C; c++) sum += K[row + c] * x[at + c];
      y[(P * W + Q) * O + o] += sum;
    }
  }, () => fillRows(y, b, H * W));
}

/** Visit every pixel (p, q) of the smaller grid with each pixel (P, Q) of the larger it sees. */
function eachTap(layer, visit, begin) {
  const [H, W] = layer.big, [h, w] = layer.small, [kh, kw] = layer.kernel;
  const [s, r] = layer.stride, [t, l] = layer.before;
  begin();
  for (let p = 0; p < h; p++)
    for (let q = 0; q < w; q++)
      for (let i = 0; i < kh; i++)
        for (let j = 0; j < kw; j++) {
          const P = s * p - t + i, Q = r * q - l + j;
          if (P >= 0 && P < H && Q >= 0 && Q < W) visit(p, q, P, Q, i * kw + j);
        }
}

function fillRows(y, b, rows) {
  for (let n = 0; n < rows; n++) y.set(b, n * b.length);
}

/** One layer forward, for B rows; a view has the same numbers, so it answers with x itself. */
function layerForward(layer, params, x, rows, Numbers) {
  if (layer.kind === "view") return x;
  const y = new Numbers(rows * layer.outputs);
  const W = params[`${layer.label}.W`], b = params[`${layer.label}.b`];
  if (layer.kind === "dense") dense(x, W, b, y);
  else if (layer.kind === "logstd") {
    const Z = layer.outputs / 2; // [μ | log σ] -> [μ | log σ²]  (E14)
    for (let i = 0; i < y.length; i++) y[i] = i % (2 * Z) < Z ? x[i] : 2 * x[i];
  } else if (layer.kind in ACTIVATIONS) {
    const { value } = ACTIVATIONS[layer.kind];
    for (let i = 0; i < y.length; i++) y[i] = value(x[i]);
  } else {
    const map = layer.kind === "conv" ? convolve : convolveTransposed;
    for (let n = 0; n < rows; n++) {
      const row = (a, size) => a.subarray(n * size, (n + 1) * size);
      map(layer, row(x, layer.inputs), W, b, row(y, layer.outputs));
    }
  }
  return y;
}

/** All layers of a part, one after the other: the output of the last. */
function runLayers(layers, params, x, rows = 1, Numbers = Float32Array) {
  return layers.reduce((y, layer) => layerForward(layer, params, y, rows, Numbers), x);
}

// ---- likelihoods -------------------------------------------------------------------------------

/** log(1 + eᵃ) without overflow  (E18). */
const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

/** The mean of the density a e^(a x) / (e^a − 1) on [0, 1]  (E201); a series where it is 0/0. */
function continuousMean(a) {
  if (Math.abs(a) > 0.5) return -1 / Math.expm1(-a) - 1 / a;
  return 0.5 + a / 12 - a ** 3 / 720 + a ** 5 / 30240 - a ** 7 / 1209600 + a ** 9 / 47900160;
}

/** log (e^a − 1)/a, that density's normalization  (E200). */
function continuousNorm(a) {
  const n = -Math.abs(a);
  if (n < -0.5) return Math.log(Math.expm1(n) / n) + Math.max(a, 0);
  return a / 2 + a ** 2 / 24 - a ** 4 / 2880 + a ** 6 / 181440 - a ** 8 / 9676800 + a ** 10 / 479001600;
}

/** The mean of a pixel from its logit  (E20, E201). */
function meanOfLogit(likelihood, a) {
  if (likelihood.kind === "gaussian" && likelihood.mean === "identity") return a;
  return likelihood.kind === "continuous-bernoulli" ? continuousMean(a) : sigmoid(a);
}

/** E[x|z] of every pixel from the logits  (E20, E58, E201). */
function pixelMeans(likelihood, logits, pixels) {
  if (likelihood.kind !== "categorical")
    return Float64Array.from(logits, (a) => meanOfLogit(likelihood, a));
  const L = likelihood.levels, means = new Float64Array(pixels);
  for (let d = 0; d < pixels; d++) {
    const { shares } = softmax(logits, d, pixels, L);
    means[d] = shares.reduce((sum, p, level) => sum + (p * level) / (L - 1), 0);
  }
  return means;
}

/** The probabilities of the L levels of pixel d, whose logits are `pixels` apart. */
function softmax(logits, d, pixels, L) {
  const a = Float64Array.from({ length: L }, (_, level) => logits[level * pixels + d]);
  const most = Math.max(...a), powers = a.map((each) => Math.exp(each - most));
  const total = powers.reduce((sum, each) => sum + each, 0);
  return { a, shares: powers.map((each) => each / total), logTotal: most + Math.log(total) };
}

/** −log p(x_d|z) of every pixel, in nats  (E18, E21, E56, E200). */
function pixelNll(likelihood, logits, x) {
  const D = x.length, nll = new Float64Array(D);
  if (likelihood.kind === "gaussian") {
    const means = pixelMeans(likelihood, logits, D);
    for (let d = 0; d < D; d++) {
      const variance = likelihood.std[d] ** 2, r = x[d] - means[d];
      nll[d] = 0.5 * (r * r) / variance + 0.5 * Math.log(2 * Math.PI * variance);
    }
  } else if (likelihood.kind === "categorical") {
    for (let d = 0; d < D; d++) {
      const { a, logTotal } = softmax(logits, d, D, likelihood.levels);
      nll[d] = logTotal - a[Math.round(x[d] * (likelihood.levels - 1))];
    }
  } else {
    const norm = likelihood.kind === "continuous-bernoulli" ? continuousNorm : softplus;
    for (let d = 0; d < D; d++) nll[d] = norm(logits[d]) - x[d] * logits[d];
  }
  return nll;
}

/** The gradient of −log p(x|z) with respect to the logits  (E19, E22, E201). */
function nllGrad(likelihood, logits, x) {
  return x.map((each, d) => {
    const m = meanOfLogit(likelihood, logits[d]);
    if (likelihood.kind !== "gaussian") return m - each;
    const slope = likelihood.mean === "identity" ? 1 : m * (1 - m);
    return ((m - each) / likelihood.std[d] ** 2) * slope;
  });
}

const sum = (a) => a.reduce((total, each) => total + each, 0);

/** ½ (μ² + σ² − 1 − log σ²) in nats, of one latent unit  (E16). */
const klOfUnit = (mu, logvar) => 0.5 * (mu * mu + Math.exp(logvar) - 1 - logvar);

// ---- the whole step, for one image with K samples of z ------------------------------------------

/** Every array of a step by name, as the Python trace names them: forward, loss, backward. */
function computeStep(network, params, x, eps) {
  const { samples: K, latent: Z, beta, likelihood } = network, D = x.length;
  const arrays = { ...params, x, eps };

  const keep = (name, a) => (arrays[name] = a);
  const forward = (layers, input, rows) => {
    for (const layer of layers) {
      input = layerForward(layer, params, input, rows, Float64Array);
      if (layer.kind !== "view") keep(`${layer.label}.y`, input);
    }
    return input;
  };
  const backward = (layers, input, dy, rows, needsInputGrad) => {
    const inputs = [input];
    for (const layer of layers)
      inputs.push(layer.kind === "view" ? inputs.at(-1) : arrays[`${layer.label}.y`]);
    for (let i = layers.length - 1; i >= 0; i--) {
      if (layers[i].kind === "view") continue;
      dy = layerBackward(layers[i], params, inputs[i], inputs[i + 1], dy, keep,
        needsInputGrad || i > 0, rows);
    }
    return dy;
  };

  const head = forward(network.encoder, x, 1);
  const mu = head.subarray(0, Z), logvar = head.subarray(Z);
  const std = keep("std", logvar.map((each) => Math.exp(0.5 * each))); // E12
  const z = keep("z", eps.map((each, i) => mu[i % Z] + std[i % Z] * each)); // E12
  const logits = forward(network.decoder, z, K);

  const sample = (a, k) => a.subarray((k * a.length) / K, ((k + 1) * a.length) / K);
  const nll = keep("nll", new Float64Array(K));
  const dlogits = keep("dlogits", new Float64Array(logits.length));
  for (let k = 0; k < K; k++) {
    const a = sample(logits, k);
    nll[k] = sum(pixelNll(likelihood, a, x)); // E18
    sample(dlogits, k).set(nllGrad(likelihood, a, x).map((each) => each / K)); // E19
  }
  const kl = keep("kl", mu.map((each, j) => klOfUnit(each, logvar[j]))); // E16
  keep("objective", Float64Array.of(sum(nll) / K + beta * sum(kl))); // E2

  const dz = backward(network.decoder, z, dlogits, K, true);
  const dhead = keep("dhead", new Float64Array(2 * Z));
  for (let j = 0; j < Z; j++) {
    for (let k = 0; k < K; k++) { // from the likelihood  (E13)
      dhead[j] += dz[k * Z + j];
      dhead[Z + j] += 0.5 * std[j] * dz[k * Z + j] * eps[k * Z + j];
    }
    dhead[j] += beta * mu[j]; // from the KL  (E17)
    dhead[Z + j] += beta * 0.5 * (std[j] * std[j] - 1);
  }
  backward(network.encoder, x, dhead, 1, false);
  return arrays;
}

/** One layer backward: keeps the gradients of its parameters; answers with dx. */
function layerBackward(layer, params, x, y, dy, keep, needsInputGrad, rows) {
  const dx = new Float64Array(rows * layer.inputs);
  if (layer.kind === "dense") {
    const W = params[`${layer.label}.W`];
    const dW = keep(`grad.${layer.label}.W`, new Float64Array(W.length));
    const db = keep(`grad.${layer.label}.b`, new Float64Array(layer.outputs));
    denseGradParams(x, dy, dW, db); // E5
    if (needsInputGrad) denseGradInput(dy, W, dx, layer.outputs); // E4
  } else if (layer.kind === "logstd") {
    const Z = layer.outputs / 2;
    for (let i = 0; i < dx.length; i++) dx[i] = i % (2 * Z) < Z ? dy[i] : 2 * dy[i]; // E15
  } else {
    const { slope } = ACTIVATIONS[layer.kind];
    for (let i = 0; i < dx.length; i++) dx[i] = dy[i] * slope(y[i]); // E7, E9, E11
  }
  if (needsInputGrad) keep(`${layer.label}.dx`, dx);
  return dx;
}

/** Adam's update of one array  (E24); m and v as the package keeps them, over 1 − β. */
function adamUpdate(rule, p, g, m, v) {
  const { beta1, beta2, eps, lr, step } = rule;
  const newM = m.map((each, i) => beta1 * each + g[i]);
  const newV = v.map((each, i) => beta2 * each + g[i] * g[i]);
  const mHat = newM.map((each) => ((1 - beta1) / (1 - beta1 ** step)) * each);
  const vHat = newV.map((each) => ((1 - beta2) / (1 - beta2 ** step)) * each);
  const after = p.map((each, i) => each - (lr * mHat[i]) / (Math.sqrt(vHat[i]) + eps));
  return { m: newM, v: newV, after };
}

// ---- arrays as a page holds them ----------------------------------------------------------------

/** The numbers of an embedded array: as they stand, or from base64 of their bytes. */
function unpack(packed) {
  if (packed.values) return Float64Array.from(packed.values);
  const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
  if (packed.dtype === "uint8") return bytes;
  if (packed.dtype === "float32") return new Float32Array(bytes.buffer);
  if (packed.dtype === "float64") return new Float64Array(bytes.buffer);
  return float16(new Uint16Array(bytes.buffer), packed.scale);
}

/** 16-bit floats, 1 sign bit, 5 of exponent and 10 of fraction, times a scale. */
function float16(halves, scale) {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    table[bits] = scale * sign * (exponent === 0
      ? fraction * 2 ** -24
      : (1 + fraction / 1024) * 2 ** (exponent - 15));
  }
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) floats[i] = table[halves[i]];
  return floats;
}
