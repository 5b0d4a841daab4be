"""Mutants that change nothing, each with its reason in one line: in gradients, and around them.

A key of ``IN_GRADIENTS`` is the mutant's name. A key of ``IN_PROGRAMS`` is the name or the part of
it before the change, where all changes of one kind in one function have one reason;
:func:`reason_for` finds the longest that fits.
"""

ALIAS = "two names of one object"
BLOCKS = "how many images are held at one time changes no sum"
SCRATCH = "what is written before it is read may lie in any buffer that is free"
NO_SCRATCH = "the plain equation has no use for the scratch buffer"
LAST_AXIS = "of an array with two axes, axis 1 is axis −1"
REMAINDER = "a remainder is never negative: ≤ 0 is = 0"
ORDER = "the next line neither reads nor writes what this one does"
WIDTH_ONLY = "only the length of its rows is read, which all of them share"

IN_GRADIENTS: dict[str, str] = {
    **{
        f"plain bernoulli_nll_and_grad: a wrong name: tmp -> {name}": SCRATCH
        for name in ("da", "tmp2")
    },
    **{
        f"plain bernoulli_nll_and_grad: a wrong name: tmp2 -> {name}": NO_SCRATCH
        for name in ("da", "nll", "x", "a", "tmp")
    },
    "bernoulli_nll_and_grad: a wrong name: a -> tmp": (
        "only its shape is read, and tmp has the same"
    ),
    **{
        f"bernoulli_nll_and_grad: a wrong name: x -> {name}": BLOCKS for name in ("a", "da", "tmp2")
    },
    "bernoulli_nll_and_grad: a wrong name: q -> tmp": (
        "a block that is spread over all of tmp lies in its own part of it, too"
    ),
    **{
        f"bernoulli_nll_and_grad: a wrong name: s_minus_x -> factors{number}": ALIAS
        for number in ("", " (#2)", " (#3)")
    },
    "bernoulli_nll_and_grad: a constant: 0 -> 1 (#2)": SCRATCH,
    "ReLU.grad_input: a wrong name: y -> x": "y > 0 exactly where x > 0",
    "reparameterize_grad: a constant: 1 -> -1": LAST_AXIS,
    "kl_grad: a constant: 1 -> -1": LAST_AXIS,
    "score_grad: a constant: 1 -> -1": LAST_AXIS,
    "ScoreFunctionBaseline.advantage: a constant: 1 -> -1": LAST_AXIS,
    "Dense.grad_input: a wrong name: tmp -> dx": (
        "NumPy copies overlapping memory by way of a temporary: dx may be turned around in place"
    ),
    "BoundVAE.loss_and_gradient: a constant: 1 -> -1": (
        "the gradients of parameters need no order: those of all outputs are there"
    ),
    "BoundM2.loss_and_input_grads: a wrong name: latent.kl_tmp -> latent.kl": SCRATCH,
    "BoundM2.grad_classifier: done twice: dlogits *= self.unknown": "it is 0 or 1",
    "FirstLayerHead.grad_input: a constant: 1 -> -1": LAST_AXIS,
    "FirstLayerHead.grad_input: a wrong name: dx -> x": WIDTH_ONLY,
    "kl_grad: a wrong name: std -> tmp": "only its shape is read, and tmp has the shape of std",
    "Dense.grad_params: a constant: 1 -> -1": LAST_AXIS,
    "LogStdHead.grad_input: a constant: 1 -> -1": LAST_AXIS,
    "LogStdHead.grad_input: a constant: 2 -> -2": "of 2Z columns the last Z begin at Z and at −Z",
    **{
        f"LogStdHead.grad_input: a wrong name: dx -> {name} (#3)": WIDTH_ONLY
        for name in ("x", "dy", "y")
    },
    **{
        f"GaussianLikelihood.nll_and_grad: a wrong name: x -> {name}": WIDTH_ONLY
        for name in ("logits", "squares")
    },
    **{
        f"ContinuousBernoulli.write_mean: in the wrong order: {line}": ORDER
        for line in ("bk.xp.exp(n, out=out)", "out -= 0.5")
    },
    "ContinuousBernoulli.write_mean: arithmetic: out *= tmp -> out /= tmp": "a sign is ±1",
    "ContinuousBernoulli.write_mean: done twice: out *= w.outside": "a factor of 0 or 1",
    "MaskedDense.grad_params: a constant: 1 -> -1": LAST_AXIS,
    "MaskedDense.grad_params: done twice: dW *= mask[rows]": "a factor of 0 or 1",
    "gate_grad: a wrong name: dz -> tmp (#3)": "dz has just been copied from tmp",
    "MaskedDense.grad_input: a wrong name: tmp -> dx": (
        "NumPy copies overlapping memory by way of a temporary: dx may be turned around in place"
    ),
    "LearnedGaussian.grad_params: a constant: 1 -> 2": "reshape infers any negative size",
    **{
        f"{rule}: a comparison: t % FLUSH_EVERY == 0 -> t % FLUSH_EVERY <= 0": REMAINDER
        for rule in ("adam", "rmsprop", "sgd")
    },
    **{
        f"{layer}.grad_input: a wrong name: x -> dx": "only its shape is read, and dx has the same"
        for layer in ("Conv2D", "ConvTranspose2D")
    },
}

MEASURE_ZERO = "a uniform or normal of 53 bits meets the bound or another one with probability 2⁻⁵³"
DIVISOR = "what stands in for a length or a sine of zero divides what is not taken: the line is"
BUFFER = "a longer buffer than is needed: what is not asked for is not read"
LENGTH = "a length is never negative"
LEVELS = "a level lies between 0 and the largest"
ALGORITHM = "either way is the same sum; the other one is only slower"
ROWS_ONLY = "only its number of rows is read, which both have"
FIRST_BLOCK = "the first block begins at 0"
REST = "reshape finds out the one size that is left"
INFINITE = "where μ or log σ is infinite, so is the divergence that is reported: refused alike"
HALF = "⌊1/2⌋ = ⌊0/2⌋"
SQUARED = "(a − b)² = (b − a)², and |a − b| = |b − a|"
ZERO = "zero times a factor is zero"

LAST_OF_TWO = "of two the second is the last"
SHIFT = "what is added to all numbers alike does not change their variance"
FIRST_HALF = "there is always a first half, whose estimate replaces what stood there"
SHAPES_ALIKE = "only its shape is read, which is the same"
READ_ONLY = "what is only read may be a copy, and a copy has no gaps"
LENGTHS = "how long the arrays are that a loop is compiled with changes no type"

IN_PROGRAMS: dict[str, str] = {
    # loops
    "backend.loops.tanh_loop: swapped operands: ONE - e -> e - ONE": (
        "the sign of the result is taken from x"
    ),
    "backend.loops.nll_of_row: a wrong name: a -> x": SHAPES_ALIKE,
    "backend.loops.nll_of_row: a comparison: a[j] > ZERO -> a[j] >= ZERO": "max(0, 0) is 0",
    "backend.loops.bernoulli_loop: a wrong name: a -> nll": SHAPES_ALIKE,
    "backend.loops.bernoulli_grad_loop: a wrong name: a -> da": SHAPES_ALIKE,
    "backend.loops.kl_loop: a wrong name: std -> out": SHAPES_ALIKE,
    "backend.loops.monte_carlo_kl_loop: a wrong name: z -> eps": SHAPES_ALIKE,
    "backend.loops.monte_carlo_kl_loop: a factor: out[i, j] = ZERO": ZERO,
    "backend.loops.log_ratio_loop: a wrong name: z -> eps": SHAPES_ALIKE,
    "backend.loops.gather_loop: a wrong name: out -> image": (
        "a whole number over a float is a number of that float type"
    ),
    "backend.loops.binarize_loop: a comparison: draw < x[i] -> draw <= x[i]": MEASURE_ZERO,
    **{
        f"backend.compiled.{rule}: a comparison: t % FLUSH_EVERY == 0 -> t % FLUSH_EVERY <= 0": (
            REMAINDER
        )
        for rule in ("adam", "rmsprop", "sgd")
    },
    **{
        f"backend.compiled.{rule}: an argument ignored: cpu_updates.{rule}(rule, bk, p, g, "
        f"buffers, lr, t) -> cpu_updates.{rule}(rule, bk, p, g, buffers, lr, 0)": (
            "without a correction of bias only the remainder of t counts"
        )
        for rule in ("rmsprop", "sgd")
    },
    "backend.compiled.relu_grad: a wrong name: y -> dx": READ_ONLY,
    "backend.compiled.tanh_grad: a wrong name: y -> dx": READ_ONLY,
    "backend.compiled.bernoulli_nll: a wrong name: a -> tmp2": READ_ONLY,
    "backend.compiled.bernoulli_nll: a wrong name: x -> tmp": READ_ONLY,
    "backend.compiled.bernoulli_nll: a wrong name: tmp -> a": (
        "scratch that is copied is scratch still"
    ),
    "backend.compiled.bernoulli_nll_and_grad: a wrong name: a -> tmp": READ_ONLY,
    "backend.compiled._an_image_for_its_samples: a comparison: a.ndim == 3": (
        "there are no logits of four axes"
    ),
    "backend.compiled._an_image_for_its_samples: a wrong name: a -> x": (
        "logits and pixels have as many axes, and as many pixels"
    ),
    "backend.compiled.CompiledBackend._first_calls: a wrong name: m -> v": ALIAS,
    "backend.compiled.CompiledBackend._first_calls: a wrong name: v -> m": ALIAS,
    "backend.compiled.CompiledBackend._first_calls: a constant: 4 -> 5": LENGTHS,
    "backend.compiled.CompiledBackend._first_calls: a constant: 1 -> -1": LENGTHS,
    "backend.compiled.CompiledBackend.gather: a condition: max_level is None or ": (
        "the loop divides whole numbers of any type"
    ),
    "backend.compiled.CompiledBackend.gather: a comparison: images.dtype != np.uint8": (
        "the loop divides whole numbers of any type"
    ),
    "backend.compiled.CompiledBackend.gather: a wrong name: raw -> out": SCRATCH,
    "backend.compiled.CompiledBackend.normal: a dropped term: out.size % 2 -> 2": (
        "two uniforms too many are not looked at"
    ),
    "backend.compiled.CompiledBackend.binarize: an index: :x.size -> x.size:": SCRATCH,
    "backend.compiled.CompiledBackend.binarize: a wrong name: x -> draw": SHAPES_ALIKE,
    # noise
    "backend.noise.generator: a wrong name: rest -> value": "to skip no words skips none",
    "backend.noise.generator: an argument ignored: bits.random_raw(": (
        "skipped words are not looked at, whether they are handed out or not"
    ),
    "backend.noise.fill_normal: an index: :pairs -> pairs:": (
        "the cosines are spent before the sines are written: both fit into one place"
    ),
    "backend.noise.permutation: an argument ignored: np.argsort(": MEASURE_ZERO,
    # binarization
    "data.binarize.drawn: a wrong name: images -> pixels (#2)": ROWS_ONLY,
    "data.binarize.drawn: a constant: 1 -> -1 (#5)": LAST_AXIS,
    "data.subset.keep_labels: a wrong name: train -> known": "each image has a label, or −1",
    "data.subset.select: a constant: 3 -> 4": "the text of a draw has both groups or neither",
    # initializers
    "layers.initializers.TruncatedNormal.__call__: a comparison: abs(z) > 2.0": MEASURE_ZERO,
    "layers.initializers.Constant.__call__: arithmetic: 0.0 * uniform(shape, stream)": (
        "zero over a uniform is zero"
    ),
    # correlation
    "layers.correlation._reach: a dropped term: p.origin + p.pixels + p.taps - 1": (
        "the windows take as many pixels as their shape says: one more is not looked at"
    ),
    "layers.correlation._reach: a constant: 1 -> -1": (
        "the windows take as many pixels as their shape says: two more are not looked at"
    ),
    "layers.correlation.Correlation.adjoint: a constant: 1 -> -1": "of a pair, 1 is the last too",
    "layers.correlation.Correlation.kernel_grad: a wrong name: first -> last": (
        "the same columns, counted from the end"
    ),
    "layers.correlation.Correlation.adjoint: a factor: out[every] = 0": ZERO,
    "layers.correlation.Work.__init__: a condition: [a.pixels": BUFFER,
    "layers.correlation.Work.__init__: a constant: 1 -> -1 (#2)": BUFFER,
    "layers.correlation.Work.__init__: a constant: 0 -> 1 (#2)": BUFFER,
    "layers.correlation.Work.__init__: arithmetic: workspace.n_rows * per": BLOCKS,
    "layers.correlation.Work.__init__: a dropped term: workspace.n_rows * per -> per": BLOCKS,
    "layers.correlation.Work.__init__: a dropped term: workspace.bk.block_size // max": BLOCKS,
    "layers.correlation.Work.__init__: a comparison: c.padded != c.big": (
        "padding makes a grid longer, never shorter: shapes that differ are greater"
    ),
    "layers.correlation.Work.__init__: a comparison: c.small_padded != c.small": (
        "padding makes a grid longer, never shorter: shapes that differ are greater"
    ),
    "layers.correlation.Work.__init__: a wrong name: grown -> parts": BUFFER,
    "layers.correlation.Work.__init__: a wrong name: parts -> windows": BUFFER,
    "layers.correlation.Work.__init__: done twice: windows +=": BUFFER,
    "layers.correlation.Work.sum_pixels: a wrong name: images -> out (#2)": (
        "only its number of channels is read, which both have"
    ),
    "layers.grid.contracting: a constant: 0 -> 1": HALF,
    "layers.grid.expanding: a constant: 0 -> 1": HALF,
    # schedules
    "optim.schedules.schedule: a wrong name: number -> rate": ALIAS,
    "optim.schedules.Piecewise.__post_init__: one round only: for steps in self.until": (
        "steps that rise from the first, which is at least 1, are all at least 1"
    ),
    # likelihoods
    "likelihoods.bernoulli.bernoulli_nll_terms: a constant: 0 -> 1": (
        "for logits between 0 and 1 either branch is the softplus, to an ulp"
    ),
    "likelihoods.bernoulli.bernoulli_nll: an argument ignored: bernoulli_nll_terms("
    "bk, a, x, tmp, tmp2) -> bernoulli_nll_terms(bk, a, x, tmp, 0)": NO_SCRATCH,
    "likelihoods.bernoulli.bernoulli_nll: a wrong name: tmp2 -> tmp": NO_SCRATCH,
    "likelihoods.categorical.Categorical.work: a constant: 1 -> -1": REST,
    "likelihoods.categorical.Categorical.from_settings: a comparison: settings.max_level == 0": (
        "the largest level is never negative"
    ),
    "likelihoods.gaussian.LearnedGaussian.precision: an argument ignored: bk.xp.sum(": (
        "of an array with one axis, the sum over it is the sum over all"
    ),
    # model
    "models.model.Model.__reduce__: an argument ignored: getattr(self.bk, 'tf32', False)": (
        "only a backend of a GPU has tf32"
    ),
    "models.model.Model.decode: a condition: self if self.vae.samples == 1": (
        "a model with one sample is the model with one sample"
    ),
    "models.model.Model.decode: a constant: 1 -> -1": (
        "a model with one sample is the model with one sample"
    ),
    "models.model.Model.decode: a wrong name: z -> means": ROWS_ONLY,
    "models.model.Model.loss_and_gradient: a wrong name: x -> images": ROWS_ONLY,
    "models.model.Model._average: a constant: 1 -> -1": LAST_AXIS,
    "models.model.Model._blocks: arithmetic: stop - start -> stop + start": FIRST_BLOCK,
    "models.model.Model._blocks: a dropped term: stop - start -> stop": FIRST_BLOCK,
    "models.model.Model._blocks: a wrong name: stop -> n": ALGORITHM,
    "models.model.Model._blocks: swapped operands: stop - start -> start - stop (#2)": ALGORITHM,
    "models.inputs.grey_values: a constant: 1 -> -1 (#3)": REST,
    "models.inputs.grey_values: a constant: 1 -> -1 (#4)": LAST_AXIS,
    "models.inputs.latent_vectors: a constant: 1 -> -1": REST,
    "models.inputs.latent_vectors: a constant: 1 -> -1 (#2)": LAST_AXIS,
    "models.inputs.latent_vectors: a comparison: len(array) == 0 -> ": LENGTH,
    # evaluation
    "evaluation.elbo.evaluate: a constant: 1 -> -1": LAST_AXIS,
    "evaluation.findings._about_units: a comparison: len(d.inactive) == units -> "
    "len(d.inactive) >= units": "there are never more inactive units than units",
    "evaluation.nll.LogLikelihood.is_settled: swapped operands: self.log_p - self.half": SQUARED,
    "evaluation.nll.importance_sampled: a dropped term: rows // len(block) -> rows": BLOCKS,
    "evaluation.nll.log_weights: a wrong name: nll -> ratio": (
        "only its shape is read, and ratio has the same"
    ),
    "evaluation.nll.LogMeanExp.add: a constant: 1 -> -1": LAST_AXIS,
    "evaluation.nll.LogMeanExp.add: a sign: np.where(np.isneginf(largest), 0.0, largest)": (
        "−0 is 0"
    ),
    "evaluation.nll.LogMeanExp.add: a constant: 0.0 -> ": (
        "a row whose samples are all e^−∞ sums zeros, whatever finite number is taken out"
    ),
    "evaluation.interpolation.spherical: a sign: np.where(r == 0, 1.0, r)": DIVISOR,
    "evaluation.interpolation.spherical: a comparison: r == 0 -> r <= 0": LENGTH,
    "evaluation.interpolation.spherical: a constant: 1 -> -1": LAST_AXIS,
    "evaluation.interpolation.spherical: a constant: 1.0 -> 0.5": DIVISOR,
    "evaluation.interpolation.interpolate: a wrong name: first -> second": ROWS_ONLY,
    "evaluation.baselines.histogram_nll: a constant: 1 -> -1": LAST_AXIS,
    "evaluation.baselines.mass_of_levels: a constant: 1 -> -1 (#2)": LAST_AXIS,
    "evaluation.baselines.log_mass: a constant: 0 -> 1 (#2)": (
        "Φ(b) − Φ(a) = Φ(−a) − Φ(−b): which one is taken matters far out only"
    ),
    "evaluation.baselines.log_mass: a comparison: level == 0 -> level <= 0": LEVELS,
    "evaluation.baselines.log_mass: a comparison: level == max_level -> level >= max_level": LEVELS,
    "evaluation.gradient_noise.squared_norm: a wrong name: gram -> means": ROWS_ONLY,
    "evaluation.gradient_noise.squared_norm: a constant: 1 -> -1": LAST_AXIS,
    "evaluation.gradient_noise.bias_and_variance: swapped operands: means - true": SQUARED,
    "evaluation.gradient_noise.draw_gradients: a wrong name: x -> images": ROWS_ONLY,
    "evaluation.gradient_noise.draw_gradients: a constant: 1 -> -1": (
        "how many threads BLAS may take changes the time"
    ),
    "evaluation.gradient_noise.Draws.add: a factor: self.first[...] = vector": (
        "Σ (v − c)/n + c = Σ v/n for any c"
    ),
    "evaluation.units.without_units: done twice: last -= isinstance(": (
        "the layer below a LogStdHead is no other one"
    ),
    **{
        f"evaluation.units.without_units: a factor: arrays[{name}] = 0": ZERO
        for name in (
            "f'encoder.{last}.W'][:, columns",
            "f'encoder.{last}.b'][columns",
            "'decoder.0.W'][cut",
        )
    },
    # completion
    "models.posterior.require_completing: a constant: 1 -> -1": LAST_OF_TWO,
    "models.posterior.BoundPosterior.__init__: an argument ignored: BoundFlow(latent)": (
        "what does nothing needs no buffers"
    ),
    "models.posterior.BoundPosterior.value: done twice: self.pixel_nll *=": "0² = 0 and 1² = 1",
    "evaluation.completion.log_joint: a constant: 1 -> -1": LAST_AXIS,
    "evaluation.completion._fit: an argument ignored: "
    "_require_finite(settings, mu, logstd) -> _require_finite(settings, ": INFINITE,
    "evaluation.completion._fit: a wrong name: logstd -> trace": INFINITE,
    "evaluation.completion._fit: a wrong name: mu -> logstd": INFINITE,
    "evaluation.completion.complete: a wrong name: mask -> observed": (
        "booleans in a list and in an array spread alike"
    ),
    "evaluation.completion._report: a constant: 1 -> -1 (#3)": LAST_AXIS,
    # diagnosis
    **{
        f"evaluation.information.decompose_kl: a dropped term: {term}": BLOCKS
        for term in ("TERMS // (n * units) -> TERMS", "n * units -> units")
    },
    "evaluation.information.log_normal: swapped operands: z - mu": SQUARED,
    **{
        f"evaluation.information._Sums.add: a constant: 1 -> -1{number}": LAST_AXIS
        for number in ("", " (#2)")
    },
    "evaluation.information._Sums.result: a dropped term: Float64 | float": (
        "an annotation computes nothing"
    ),
    "evaluation.information._Sums.result: a constant: 0.0 -> 0.0001": SHIFT,
    "evaluation.information._Sums.result: a sum for a mean: values.sum()": SHIFT,
    "evaluation.information._Sums.result: swapped operands: n - 1 -> 1 - n": (
        "of numbers and of their negatives the variance is the same"
    ),
    "evaluation.information.require_codes: a wrong name: mu -> logvar": SHAPES_ALIKE,
    "evaluation.diagnosis.kl_of: a constant: 1 -> -1": LAST_AXIS,
    "evaluation.diagnosis.use_of_z: a constant: 1 -> -1 (#2)": LAST_AXIS,
    "evaluation.diagnosis.use_of_z: a constant: 1 -> -1 (#3)": LAST_AXIS,
    "evaluation.diagnosis.gaps_of: an argument ignored: np.ones(": "1.0 times a loss is the loss",
    "evaluation.diagnosis.score: an argument ignored: np.zeros(n)": FIRST_HALF,
    "evaluation.diagnosis.score: a wrong name: n -> K": FIRST_HALF,
    "evaluation.diagnosis.score: a comparison: i == (rounds - 1) // 2 -> i <= ": (
        "of what each round writes the last stays"
    ),
    "evaluation.diagnosis.score: a constant: 1 -> -1": LAST_AXIS,
    "evaluation.diagnosis.trend: swapped operands: y - y.mean() - slope * t": SQUARED,
    # disentanglement
    **{
        f"evaluation.disentanglement.measure_disentanglement: a constant: 1 -> -1{number}": (
            LAST_AXIS
        )
        for number in ("", " (#4)", " (#6)")
    },
    "evaluation.disentanglement.measure_disentanglement: a constant: 1 -> -1 (#7)": LAST_OF_TWO,
    **{
        f"evaluation.disentanglement.measure_disentanglement: a dropped term: {term}": BLOCKS
        for term in ("TERMS // (n * units) -> TERMS", "n * units -> units")
    },
    "evaluation.disentanglement.Disentanglement.gaps: an argument ignored: np.sort(": LAST_AXIS,
    **{
        f"evaluation.disentanglement.Disentanglement.gaps: a constant: 1 -> -1{number}": LAST_AXIS
        for number in ("", " (#2)")
    },
    "data.sprites.draw_sprites: a dropped term: SIDE - PLACES": "16 − 8 is 8",
    "data.sprites.draw_sprites: swapped operands: np.arange(SIDE) - (first + x)": (
        "every shape is the same from left to right as from right to left"
    ),
    "data.sprites.draw_sprites: a comparison: np.maximum(": "no pixel lies on the edge of a square",
    # resume
    "training.prepared.epoch_order: an argument ignored: np.arange(n, dtype=np.int64) -> ": (
        "NumPy's own integer has 64 bits on the systems where the tests run"
    ),
    "training.prepared.prepare: a constant: 1 -> -1": LAST_AXIS,
    "training.prepared.prepare: a wrong name: config -> given": (
        "what follows from the data changes no other setting"
    ),
    "training.prepared.prepare: an argument ignored: binarize(dataset.train, config.binarize, "
    "seed=config.seed, lane=TRAIN_LANE) -> binarize(dataset.train, config.binarize, "
    "seed=config.seed)": "the lane of the training images is 0, as it is unless given",
}


def reason_for(name: str) -> str | None:
    """Why the mutant of this name is no bug, or None where it is one."""
    key = key_of(name)
    return None if key is None else IN_PROGRAMS[key]


def key_of(name: str) -> str | None:
    """The longest key that the name of a mutant begins with."""
    return max((key for key in IN_PROGRAMS if name.startswith(key)), key=len, default=None)
