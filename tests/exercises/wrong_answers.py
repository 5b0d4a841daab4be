"""Typical mistakes: what stands in the solution, what a student wrote instead, what is said of it.

Each row changes the solved file of an exercise in one place; the verdict must hold the words.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    exercise: str
    right: str  # a part of the solved file, where it is found first
    wrong: str
    words: str  # a part of the verdict


def rows(exercise: str, *mistakes: tuple[str, str, str]) -> list[Mistake]:
    return [Mistake(exercise, *mistake) for mistake in mistakes]


NLL = "nll = (softplus - x * a).sum(axis=1)"
KL = "kl = (mu**2 + sigma**2 - 1 - logvar).sum(axis=1) / 2"
DMU = "dmu + w * beta * mu"
DLOGVAR = "dlogvar + w * beta * (sigma**2 - 1) / 2"
STEP = "p -= lr * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + EPS)"
INDEX = "images[order[start : start + rows]]"
NOISE = "rng.standard_normal((len(x), latent))"

MISTAKES = [
    *rows(
        "dense",
        ("x @ W + b", "x @ W", "the bias is not added"),
        ("x @ W + b", "x @ W.T + b", "an array transposed"),
        ("x @ W + b", "(x @ W + b).T", "transposed?"),
        ("x @ W + b", "x @ W - b", "the bias has the wrong sign"),
        ("x @ W + b", "(x @ W + b) / len(x)", "1/5 of the right value (5 = the number of images)"),
        ("return y", "pass", "is a return missing?"),
        ("x @ W + b", "x @ W + b.sum()", "the sum of all biases is added to every output"),
        ("x @ W + b", "x @ (W + b)", "the bias is added to W"),
        ("x @ W + b", "(x @ W + b).sum(axis=0)", "summed or averaged over too much?"),
        ("y = x @ W + b", "x += 1; y = (x - 1) @ W + b", "changes argument 1"),
    ),
    *rows(
        "dense_gradients",
        ("x.T @ dy, ", "x.T @ dy / len(x), ", "1/5 of the right gradient"),
        ("dy.sum(axis=0)", "dy.mean(axis=0)", "1/5 of the right gradient"),
        ("dy.sum(axis=0)", "dy.sum(axis=1)", "summed over the wrong axis?"),
        ("dy.sum(axis=0)", "np.full(3, dy.sum())", "gets the sum over all outputs"),
        ("dy.sum(axis=0)", "dy[0]", "one image counts"),
        ("x.T @ dy", "dy.T @ x", "transposed?"),
        ("x.T @ dy", "-x.T @ dy", "the sign is wrong"),
        ("dy @ W.T", "dy @ W", "shapes do not fit"),
        ("dy @ W.T", "-dy @ W.T", "the sign is wrong"),
        ("dy @ W.T", "dy @ (W.T if W.shape[0] > W.shape[1] else W)", "W is used as it is"),
        ("dy @ W.T", "2 * dy @ W.T", "twice the right gradient"),
    ),
    *rows(
        "activations",
        ("np.maximum(y, 0)", "np.abs(y)", "negative numbers become positive"),
        ("np.maximum(y, 0)", "np.minimum(y, 0)", "lets through what is negative"),
        ("np.maximum(y, 0)", "(y > 0) * 1.0", "which numbers are positive"),
        ("np.maximum(y, 0)", "np.log1p(np.exp(y))", "this is the softplus"),
        ("np.where(x > 0, dx, 0)", "np.where(x > 0, 1.0, 0)", "dx should pass, not 1"),
        ("np.where(x > 0, dx, 0)", "np.where(dx > 0, dx, 0)", "the condition is on dx"),
        ("np.where(x > 0, dx, 0)", "dx", "passes where the ReLU is shut"),
        ("np.where(x > 0, dx, 0)", "np.where(x > 0, x * dx, 0)", "x multiplies dx"),
        ("np.tanh(a / 2) / 2 + 0.5", "np.tanh(a) / 2 + 0.5", "the half is missing"),
        ("np.tanh(a / 2) / 2 + 0.5", "np.exp(a) / (1 + np.exp(a))", "not finite"),
        ("np.tanh(a / 2) / 2 + 0.5", "1 / (1 + np.exp(a))", "the sign of a is wrong"),
    ),
    *rows(
        "bernoulli",
        (NLL, NLL.replace("sum", "mean"), "1/7 of the right value (7 = the number of pixels)"),
        (NLL, NLL.replace("axis=1", ""), "summed or averaged over too much?"),
        (NLL, NLL.replace("(axis=1)", "(axis=0)"), "summed over the wrong axis?"),
        (NLL, NLL.replace("- x * a", "+ x * a"), "x a is added"),
        (NLL, NLL.replace("(softplus", "-(softplus"), "the sign is wrong"),
        (NLL, "nll = (np.log(1 + np.exp(a)) - x * a).sum(axis=1)", "e^a overflows"),
        (
            NLL,
            "s = 1 / (1 + np.exp(-a)) + 0 * softplus\n"
            "    nll = -(x * np.log(s + 1e-12) + (1 - x) * np.log(1 - s + 1e-12)).sum(axis=1)",
            "where something is cut off",
        ),
        (NLL, "nll = ((x - a) ** 2).sum(axis=1)", "a squared error of the logits"),
        ("w * (sigmoid - x)", "w * ((sigmoid > 0.5) - x)", "rounded to 0 or 1"),
        ("w * (sigmoid - x)", "(sigmoid - x)", "the weight w is missing"),
        ("w * (sigmoid - x)", "w * (x - sigmoid)", "the sign is wrong"),
        ("w * (sigmoid - x)", "w * (np.logaddexp(0, a) - x)", "softplus is taken for the prob"),
        ("w * (sigmoid - x)", "w * (sigmoid - x) * sigmoid * (1 - sigmoid)", "it has cancelled"),
        ("w * (sigmoid - x)", "w * (sigmoid - x) / len(x)", "1/5 of the right gradient"),
    ),
    *rows(
        "reparameterization",
        ("np.exp(logvar / 2)", "np.exp(logvar)", "the variance, not the standard deviation"),
        ("np.exp(logvar / 2)", "logvar / 2", "the logarithm is still there"),
        ("np.exp(logvar / 2)", "np.exp(2 * logvar)", "half of the logarithm, not twice"),
        ("mu + sigma * eps", "mu + sigma", "without its noise"),
        ("mu + sigma * eps", "sigma + mu * eps", "μ and σ are exchanged"),
        ("mu + sigma * eps", "mu + sigma**2 * eps", "scaled by the variance"),
        ("mu + sigma * eps", "mu + 1.0 * eps", "not scaled by σ"),
        ("mu + sigma * eps", "mu + sigma * np.random.rand(*eps.shape)", "every element is wrong"),
        ("dz * eps * sigma / 2", "dz * eps * sigma", "twice the right gradient: a missing ½?"),
        ("dz * eps * sigma / 2", "dz * eps", "with respect to σ, not to log σ²"),
        ("dz * eps * sigma / 2", "dz * sigma / 2", "the noise is missing"),
        ("dz * eps * sigma / 2", "dz * eps * sigma**2 / 2", "σ² where σ belongs"),
        ("= dz, dz", "= dz.mean(axis=0), dz", "summed or averaged over too much?"),
    ),
    *rows(
        "kl",
        (KL, KL.replace(" / 2", ""), "twice the right value: a missing ½?"),
        (KL, KL.replace("sum", "mean"), "1/3 of the right value (3 = the latent units)"),
        (KL, KL.replace("sigma**2", "sigma"), "σ where σ² belongs"),
        (KL, KL.replace("- logvar", "+ logvar"), "log σ² has the wrong sign"),
        (KL, KL.replace("(mu", "-(mu"), "the sign is wrong"),
        (KL, KL.replace(" - 1", ""), "the −1 is missing, once for each unit"),
        (KL, KL.replace("- logvar", "- np.log(sigma)"), "log σ where log σ² belongs"),
        (DMU, "w * beta * mu", "what came from the likelihood is lost"),
        (KL, KL.replace("sigma**2", "logvar**2"), "log σ² is squared where σ² belongs"),
        (DMU, "dmu + w * beta * mu**2 / 2", "the term of the KL itself, not its derivative"),
        (DLOGVAR, "dlogvar + w * beta * (1 - sigma**-2) / 2", "with respect to σ², not to log σ²"),
        (DLOGVAR, "dlogvar + 3 * w * beta * (sigma**2 - 1) / 2", "3 times the right gradient"),
        (DMU, "dmu + w * mu", "β is missing"),
        (DMU, "dmu + beta * mu", "the weight w is missing"),
        (DLOGVAR, "dlogvar + w * beta * (sigma**2 - 1)", "twice the right gradient"),
        (DLOGVAR, "dlogvar + w * beta * (sigma - 1 / sigma)", "with respect to σ, not to log σ²"),
        (DLOGVAR, "dlogvar - w * beta * (sigma**2 - 1) / 2", "the sign is wrong"),
        (DLOGVAR, "dlogvar + w * beta * (sigma**2 / 2 - 1)", "the ½ belongs to both terms"),
    ),
    *rows(
        "backward",
        ("w = 1 / len(x)", "w = 1.0", "6 times the right gradient (6 = the number of images)"),
        ("w = 1 / len(x)", "w = 1 / x.size", "1/5 of the right gradient (5 = the pixels)"),
        ("w * (sigmoid - x)", "w * (x - sigmoid)", "the sign is wrong"),
        (DMU, "dmu", "dμ, seen in the encoder's last bias: the part of the KL is missing"),
        (DMU, "dmu + w * mu", "β is missing in the part of the KL"),
        (DMU, "dmu + beta * mu", "a sum over the images, not a mean"),
        (DLOGVAR, "dlogvar - w * beta * (sigma**2 - 1) / 2", "the KL has the wrong sign"),
        (DLOGVAR, "w * beta * (sigma**2 - 1) / 2", "part of the likelihood is missing"),
        ("dz * eps * sigma / 2", "dz * eps * sigma", "likelihood is twice what it should be"),
        ("w * (sigmoid - x)", "w * (a - x)", "the logits are taken for probabilities"),
        ("[dmu, dlogvar]", "[dmu, dmu]", "one stands twice"),
        (
            "VAE(encoder_gradient, decoder_gradient)",
            "VAE(decoder_gradient, encoder_gradient)",
            "exchanged",
        ),
        ("[dmu, dlogvar]", "[dlogvar, dmu]", "dμ, seen in the encoder's last bias"),
        ("vae.encoder, encoder_inputs, np", "vae.encoder, decoder_inputs, np", "shapes do not fit"),
    ),
    *rows(
        "adam",
        (STEP, STEP.replace("-=", "+="), "the step goes up: the sign"),
        (STEP, "p -= lr * m / (np.sqrt(v) + EPS)", "the divisions by 1 − β^t are missing"),
        (STEP, STEP.replace("**t", ""), "the power is missing"),
        (STEP, STEP.replace("np.sqrt", ""), "the root of v is missing"),
        (STEP, STEP.replace("m / (1", "m * (1").replace("v / (1", "v * (1"), "should divide"),
        (
            STEP,
            "p -= lr * (m / (1 - BETA1**t)) / np.sqrt(v / (1 - BETA2**t) + EPS)",
            "ε stands under the root",
        ),
        (STEP, STEP.replace("p -=", "p = p -"), "p is as before: write into it"),
        (STEP, "p -= lr * g", "without its averages"),
        (STEP, STEP.replace("lr * ", ""), "the learning rate is missing"),
        (STEP, STEP.replace("**t", "**(t + 1)"), "t is too large by one"),
        (STEP, STEP.replace("BETA2**t", "BETA1**t"), "β₁ stands in the correction of v"),
        ("m[:] =", "m =", "m is as before: write into it"),
        ("v[:] = BETA2 * v + (1 - BETA2) * g**2", "v[:] = BETA2 * v + (1 - BETA2) * g", "g where"),
        (
            "m[:] = BETA1 * m + (1 - BETA1)",
            "m[:] = (1 - BETA1) * m + BETA1",
            "β and 1 − β are exch",
        ),
    ),
    *rows(
        "training",
        ("total += loss * len(x)", "total += loss", "divided by the images"),
        ("total += loss * len(x)", "total = loss * len(images)", "the last batch alone"),
        (
            "order, total = rng.permutation(len(images)), 0.0",
            "order, total = np.arange(len(images)), 0.0",
            "the order of the file",
        ),
        (NOISE, "np.ones((len(x), latent))", "the same in every batch"),
        ("total += loss * len(x)", "total += loss * rows", "short batch as a whole one"),
        (
            "order, total = rng.permutation(len(images)), 0.0",
            "rng.shuffle(images); order, total = np.arange(len(images)), 0.0",
            "the images are changed",
        ),
        (NOISE, "rng.random((len(x), latent))", "mean 0 and deviation 1"),
        ("            t += 1\n", "            t += start == 0\n", "counts epochs, not steps"),
        ("            t += 1\n", "            t = 1\n", "does not count"),
        (
            "range(0, len(images), rows)",
            "range(0, len(images) - rows, rows)",
            "short batch left out",
        ),
        (INDEX, "images[start : start + rows]", "the order of the file"),
        ("yield total / len(images)", "return total / len(images)", "returns instead of yielding"),
        ("adam(*arrays, t)", "adam(arrays[0].copy(), *arrays[1:], t)", "one of copies"),
        (
            "zip(vae.arrays(), gradient.arrays(), m, v, strict=True)",
            "[(vae.arrays()[0], gradient.arrays()[0], m[0], v[0])]",
            "arrays to update in each",
        ),
    ),
    *rows(
        "sigmoid_layer",
        ("    y *= 0.5\n    y += 0.5", "    y = 0.5 * y + 0.5", "tanh of a half lies between"),
        ("bk.xp.multiply(x, 0.5, out=y)", "y[...] = x", "the half is missing"),
        ("    y += 0.5", "    return y + 0.5", "a value is returned: write into y"),
        ("bk.xp.multiply(dy, tmp, out=dx)", "dx = dy * tmp", "nothing is in dx"),
        ("bk.xp.multiply(dy, tmp, out=dx)", "dx[...] = tmp", "dy is missing"),
        ("subtract(1.0, y, out=tmp)", "subtract(1.0, y * y, out=tmp)\n        tmp /= y", "of tanh"),
        ("        tmp *= y", "        pass", "the factor y is missing"),
        ("bk.xp.multiply(dy, tmp, out=dx)", "dx[...] = 2 * dy * tmp", "twice the right gradient"),
        (
            "bk.xp.multiply(dy, tmp, out=dx)",
            "dx[...] = 0\n        dx += dy * tmp",
            "Sigmoid, x",
        ),
    ),
    *rows(
        "log_mean_exp",
        (" - math.log(self.count)", "", "log K is not subtracted: a sum for a mean?"),
        ("self.largest + np.log(", "np.log(", "the largest a is not added again"),
        (" - math.log(self.count)", " + math.log(self.count)", "log K is added"),
        ("self.total * shrink + ", "self.total + ", "not rescaled"),
        ("np.exp(a - finite[:, None])", "np.exp(a)", "was not taken out of the sum"),
        ("a.max(axis=1))", "a.max())", "each row has its own largest a"),
        ("self.total * shrink + ", "", "what was summed before is lost"),
        ("self.count + a.shape[1]", "a.shape[1]", "K is the size of the last block"),
        ("np.where(np.isneginf(largest), 0.0, largest)", "largest", "NaN, where"),
        (
            "return self.largest + np.log(self.total) - math.log(self.count)",
            "return np.exp(self.largest) * self.total / self.count",
            "without its logarithm",
        ),
    ),
    *rows(
        "iwae",
        ("    bound += math.log(cost.shape[1])", "", "log K is missing: a sum for a mean?"),
        ("bound += math", "bound -= math", "log K has the wrong sign"),
        (
            "xp.subtract(shift[:, 0], bound, out=bound)",
            "bound *= -1",
            "the shift is not added again",
        ),
        ("weights /= bound[:, None]", "pass", "not divided by their sum"),
        ("weights /= bound[:, None]", "weights /= weights.sum()", "over all images and samples"),
        ("xp.subtract(shift, cost", "xp.subtract(cost, shift", "the sign of the costs"),
        ("xp.min(cost.real, axis=1, keepdims=True, out=shift.real)", "pass", "under- or overflows"),
        ("weights /= bound[:, None]", "weights = weights / bound[:, None]", "divided by their sum"),
        ("weights /= bound[:, None]", "weights /= cost.shape[1]", "divided by K, not by their sum"),
    ),
    *rows(
        "sticking_the_landing",
        ("dz += tmp", "dz[...] = tmp", "what was in dz before is lost"),
        ("dz += tmp", "dz = dz + tmp", "dz is as before"),
        ("dz += tmp", "dz -= tmp", "the sign is wrong"),
        ("tmp *= weight", "pass", "the weight is missing"),
        ("tmp *= weight", "tmp *= 2 * weight", "twice the right gradient"),
        ("bk.xp.subtract(z, tmp, out=tmp)", "bk.xp.add(z, tmp, out=tmp)", "the same sign"),
        ("bk.xp.subtract(z, tmp, out=tmp)", "tmp[...] = z", "the part of log q is missing"),
        ("divide(eps, std[:, None, :]", "divide(eps, std[:, None, :] ** 2", "divided by σ²"),
        ("divide(eps, std[:, None, :]", "multiply(eps, std[:, None, :]", "multiplied by σ"),
        ("std[:, None, :]", "std", "shapes do not fit"),
    ),
    *rows(
        "log_p",
        ("return -ratio - nll", "return -ratio + nll", "−log p(x|z) has the wrong sign"),
        ("return -ratio - nll", "return ratio - nll", "prior and q are exchanged"),
        ("return -ratio - nll", "return ratio + nll", "all of it has the wrong sign"),
        ("return -ratio - nll", "return -ratio", "−log p(x|z) is missing"),
        ("return -ratio - nll", "return np.exp(-ratio - nll)", "weights, not their logarithms"),
        ("return -ratio - nll", "return -2 * ratio - nll", "the ½ is missing"),
        ("return -ratio - nll", "return -ratio / 3 - nll", "the units are averaged"),
        ("return -ratio - nll", "return (-ratio - nll).mean(axis=1)", "averaged over too much?"),
        (
            "return -ratio - nll",
            "return -ratio - nll - head[:, None, 3:].sum(axis=2) / 2",
            "log σ² is missing",
        ),
    ),
    *rows(
        "dot_test",
        ("return abs(", "return (", "an absolute value is missing"),
        (" / size", "", "it is not relative"),
        ("- _pair(back, v)", "+ _pair(back, v)", "a right pair has an error"),
        ("_pair(w, y) - _pair(back, v)", "_pair(w, y) - _pair(w, y)", "only one side is in it"),
        (", 1e-300)", ")", "ZeroDivisionError"),
        (
            "max(_norm(w) * _norm(y), _norm(back) * _norm(v), 1e-300)",
            "max(_norm(w) * _norm(y), 1e-300)",
            "one of the two products",
        ),
        (
            "abs(_pair(w, y) - _pair(back, v))",
            "abs(np.sum(w * y) - np.sum(back * v))",
            "complex arrays",
        ),
        ("max(_norm(w)", "min(_norm(w)", "error"),
    ),
]

# Other formulas that are right: nothing may be said of them.
OTHERS = [
    *rows(
        "backward",
        (DMU, "dmu + beta * mu / len(x)", ""),
        ("w = 1 / len(x)", "w = np.full((len(x), 1), 1 / len(x))", ""),
        ("dz, dz * eps * sigma / 2", "dz, 0.5 * dz * (z - mu)", ""),
    ),
    *rows(
        "dense",
        ("y = x @ W + b", "y = np.einsum('ni,ij->nj', x, W) + b[None]", ""),
        ("y = x @ W + b", "y = np.array([[sum(r * c) for c in W.T] for r in x]) + b", ""),
    ),
    *rows(
        "dense_gradients",
        ("x.T @ dy, dy.sum(axis=0)", "np.einsum('ni,nj->ij', x, dy), np.ones(len(dy)) @ dy", ""),
        ("dx = dy @ W.T", "dx = (W @ dy.T).T", ""),
    ),
    *rows(
        "activations",
        ("np.maximum(y, 0)", "np.where(y > 0, y, 0.0)", ""),
        ("np.where(x > 0, dx, 0)", "dx * (x > 0)", ""),
        ("np.where(x > 0, dx, 0)", "np.where(x >= 0, dx, 0) * (x != 0)", ""),
        ("np.tanh(a / 2) / 2 + 0.5", "1 / (1 + np.exp(-a))", ""),
    ),
    *rows(
        "bernoulli",
        (NLL, "nll = (np.logaddexp(0, a) - x * a).sum(axis=1)", ""),
        ("np.log1p(np.exp(np.minimum(a, -a)))", "np.log(1 + np.exp(-np.abs(a)))", ""),
        (NLL, "nll = (x * np.logaddexp(0, -a) + (1 - x) * np.logaddexp(0, a)).sum(1)", ""),
        ("w * (sigmoid - x)", "w / (1 + np.exp(-a)) - w * x", ""),
    ),
    *rows(
        "reparameterization",
        ("np.exp(logvar / 2)", "np.sqrt(np.exp(logvar))", ""),
        ("dz * eps * sigma / 2", "0.5 * dz * (mu_z := sigma * eps)", ""),
    ),
    *rows(
        "kl",
        (KL, "kl = -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum(axis=1)", ""),
        (KL, "kl = ((mu**2 + sigma**2 - 1) / 2 - np.log(sigma)).sum(axis=-1)", ""),
        (DLOGVAR, "dlogvar + 0.5 * w * beta * (sigma - 1) * (sigma + 1)", ""),
        ("dmu, dlogvar = dmu + w", "dmu += 0.0; dmu, dlogvar = dmu + w", ""),
    ),
    *rows(
        "adam",
        (
            STEP,
            "p -= lr * np.sqrt(1 - BETA2**t) / (1 - BETA1**t) * m "
            "/ (np.sqrt(v) + EPS * np.sqrt(1 - BETA2**t))",
            "",
        ),
        ("m[:] = BETA1 * m + (1 - BETA1) * g", "m += (1 - BETA1) * (g - m)", ""),
    ),
    *rows(
        "training",
        (INDEX, "np.take(images, order[start : start + rows], axis=0)", ""),
        (
            "order, total = rng.permutation(len(images)), 0.0",
            "order, total = np.argsort(rng.random(len(images))), 0.0",
            "",
        ),
    ),
    *rows(
        "sigmoid_layer",
        ("    y *= 0.5\n    y += 0.5", "    y[...] = (y + 1) / 2", ""),
        ("bk.xp.subtract(1.0, y, out=tmp)\n        tmp *= y", "tmp[...] = y - y * y", ""),
    ),
    *rows(
        "log_mean_exp",
        (
            "self.largest + np.log(self.total) - math.log(self.count)",
            "self.largest + np.log(self.total / self.count)",
            "",
        ),
    ),
    *rows(
        "iwae",
        (
            "    weights /= bound[:, None]",
            "    weights[...] = weights / weights.sum(axis=1, keepdims=True)",
            "",
        ),
    ),
    *rows("sticking_the_landing", ("dz += tmp", "dz[...] = dz + tmp", "")),
    *rows(
        "log_p",
        (
            "    return -ratio - nll",
            "    return ((eps**2 - z**2).sum(2) + head[:, 3:].sum(1)[:, None]"
            ") / 2 - nll if head.shape[1] == 6 else -ratio - nll",
            "",
        ),
    ),
    *rows(
        "dot_test",
        (
            "abs(_pair(w, y) - _pair(back, v)) / size",
            "abs(_pair(w, y) / size - _pair(back, v) / size)",
            "",
        ),
    ),
]
