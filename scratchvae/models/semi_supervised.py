"""M2 of Kingma et al. 2014: a VAE given the label, where most images have no label.

The conditional model computes all that concerns pixels and z, beside a classifier q(y|x). A missing
label is summed out, so that every image has a row for each label.
"""

import math

from scratchvae.backend import Number
from scratchvae.errors import ConfigError, require_instance
from scratchvae.latent import AnalyticKL, Estimator, kl_grad, reparameterize_grad
from scratchvae.layers import Meetings, Sequential, complete
from scratchvae.memory import FlatBuffer, Workspace
from scratchvae.models.condition import Label, SomeLabels
from scratchvae.models.conditional import BoundConditionalVAE, ConditionalVAE
from scratchvae.models.vae import VAE


class GivenLabel(ConditionalVAE):
    """p(x, z|y) and q(z|x, y), a conditional VAE, with a classifier q(y|x) beside it."""

    def __init__(
        self, vae: VAE, pixels: int, classifier: Sequential, classes: int, condition: Label
    ) -> None:
        require_instance(vae, VAE, "vae", "scratchvae.VAE.mlp(784, (500,), latent_dim=50)")
        require_instance(classifier, Sequential, "classifier", "Sequential(…, Dense(10))")
        if classifier.infer_shape((pixels,)) != (classes,):
            raise ConfigError(
                f"the classifier's output has shape {classifier.infer_shape((pixels,))}, but there "
                f"are {classes} labels"
            )
        self.classifier = classifier
        super().__init__(vae, pixels, condition)

    def networks(self) -> dict[str, tuple[Sequential, int]]:
        classifier = {"classifier": (self.classifier, self.condition.pixels(self.pixels))}
        return super().networks() | classifier


class M2(GivenLabel):
    """−J = Σ_known [L(x, y) − α log q(y|x)] + Σ_unknown U(x)  (E223, E224).

    Parameters
    ----------
    vae : VAE
        Gives the layers of encoder and decoder, likelihood, latent_dim and beta, with which
        ``ConditionalVAE`` makes a model given one of ``classes`` labels.
    pixels : int
        D, the numbers per image.
    classifier : Sequential
        Maps an image to ``classes`` logits of q(y|x).
    classes : int
        C, the number of labels.
    classifier_weight : float
        α, the weight of −log q(y|x) for an image whose label is known.

    Its input rows are images, each with its one-hot label, or with zeros where that is missing:
    ``condition.rows(images, labels)`` makes them, where −1 is a missing label. ``samples`` is
    ``classes``: every image has a sample of z for each label. A :class:`Model` of it encodes,
    decodes and is evaluated as its conditional model, ``evaluated``.

    Raises
    ------
    ConfigError
        For sizes that do not fit each other, and for an α or estimator that M2 does not allow.
    """

    def __init__(
        self,
        vae: VAE,
        pixels: int,
        classifier: Sequential,
        classes: int,
        *,
        classifier_weight: float = 1.0,
    ) -> None:
        super().__init__(vae, pixels, classifier, classes, SomeLabels(classes))
        if type(vae.estimator) is not AnalyticKL or vae.samples != 1:
            raise ConfigError(
                "M2 takes one sample of z per label and the analytic KL, but vae has "
                f"{vae.samples} samples and {vae.estimator!r}: leave out samples and estimator"
            )
        if not 0 <= classifier_weight < math.inf:
            raise ConfigError(
                f"classifier_weight is {classifier_weight}, but it must be a number of at least 0"
            )
        self.samples, self.classifier_weight = classes, float(classifier_weight)
        self._given = GivenLabel(vae, pixels, classifier, classes, Label(classes))

    def __repr__(self) -> str:
        weight = f"classifier_weight={self.classifier_weight:g}"
        return f"M2({self._given!r}, classifier={self.classifier!r}, {weight})"

    @property
    def evaluated(self) -> VAE:
        return self._given

    def with_samples(self, samples: int) -> VAE:
        """The conditional model, with another number of samples per image."""
        return self._given.with_samples(samples)

    def with_estimator(self, estimator: Estimator) -> VAE:
        """The conditional model with another estimator."""
        return self._given.with_estimator(estimator)

    def macs_per_image(self) -> int:
        """Multiply–accumulates of the forward pass per image, with all its labels."""
        networks = self.networks()
        once, row = networks.pop("classifier")
        each = sum(layers.macs_per_row((width,)) for layers, width in networks.values())
        return once.macs_per_row((row,)) + self.samples * each

    def bind(  # type: ignore[override]
        self, workspace: Workspace, params: FlatBuffer, grads: FlatBuffer | None = None
    ) -> "BoundM2":
        return BoundM2(self, workspace, params, grads)


class BoundM2:
    """M2 on its buffers: write rows ``x`` and ``eps``, call a method, read ``objective``.

    For B images of D pixels and C labels: x (B, D + C), eps (B, C, Z), ``log_q`` = log q(y|x)
    (B, C), and the ``weight`` of each label (B, C): q(y|x), or, for an image with a label, 1 at
    that one. The conditional model ``given`` has B·C rows. In nats: kl (B, Z), averaged over the
    labels with these weights, and objective (B,), E223 or E224 of each image.
    """

    def __init__(
        self, vae: M2, workspace: Workspace, params: FlatBuffer, grads: FlatBuffer | None
    ) -> None:
        bk, C, Z, row = workspace.bk, vae.samples, vae.latent_dim, vae.pixels
        self.vae, self.bk, self.rows, self.pixels = vae, bk, workspace.n_rows, row - C
        self.x = workspace.buffer("x", row)
        self.image = workspace.buffer("m2.image", row - C)
        self.given: BoundConditionalVAE = vae.evaluated.bind(workspace.repeated(C), params, grads)  # type: ignore[assignment]
        self.classifier = vae.classifier.bind(
            workspace, "classifier", self.image, None, params, grads
        )
        self.networks, self.flow = (*self.given.networks, self.classifier), self.given.flow
        self.eps = self.given.eps.reshape(-1, C, Z)
        self.log_q, self.weight, self.terms, self.q = (
            workspace.buffer(f"m2.{name}", C) for name in ("log_q", "weight", "terms", "q")
        )
        self.unknown = workspace.buffer("m2.unknown", 1)
        self.row_tmp = workspace.buffer("m2.row_tmp", 1)
        self.row_weight = workspace.buffer("m2.row_weight", C).reshape(-1, 1)
        self.kl, self.objective = workspace.buffer("m2.kl", Z), workspace.buffer("m2.objective")
        self.kl_each = workspace.buffer("m2.kl_each", C, Z)
        self.each_label = workspace.shared("m2.each_label", C, C)
        self.each_label.fill(0)
        self.each_label.reshape(-1)[:: C + 1].fill(1)

    def loss(self, beta: Number | None = None) -> None:
        """Compute log q(y|x), and the objective (B,) of every image  (E223, E224)."""
        self.classify()
        self._make_rows()
        self.given.loss(self._beta(beta))
        self._value()

    def loss_and_gradient(self, weight: float, beta: Number | None = None) -> None:
        """Compute the loss, and write the gradient of ``weight`` · Σ objective into ``grads``."""
        complete(self.loss_and_input_grads(weight, beta))
        for part in self.networks[::-1]:
            for s in part.reversed_layers:
                s.layer.grad_params(self.bk, s.x, s.dy, s.g)

    def loss_and_input_grads(self, weight: float, beta: Number | None = None) -> Meetings:
        """:meth:`loss_and_gradient` without the parameter gradients of the layers.

        Each row of the conditional model has the weight of its label.
        """
        bk, given, beta = self.bk, self.given, self._beta(beta)
        latent = given.latent
        self.image[...] = self.x[:, : self.pixels]
        yield from self.classifier.forward_together()
        self.weigh_labels()
        self._make_rows()
        yield from given.encoder.forward_together()
        yield from given.loss_and_dlogits(beta)
        self._value()
        bk.xp.multiply(self.weight, weight, out=self.row_weight.reshape(self.weight.shape))
        each = self.row_weight[:, :, None]
        given.dlogits *= each
        given.likelihood.grad_params(bk, given.p_x, each, given.g_x, given.work)
        yield from given.decoder.grad_inputs_together()
        given.grad_code()
        bk.compute(reparameterize_grad, latent.std, latent.eps, latent.dz, latent.dhead, latent.tmp)
        self.row_weight *= beta
        bk.compute(kl_grad, latent.head, latent.std, self.row_weight, latent.dhead, latent.kl_tmp)
        yield from given.encoder.grad_inputs_together()
        self.grad_classifier(weight)
        yield from self.classifier.grad_inputs_together()

    def _beta(self, beta: Number | None) -> Number:
        return self.vae.beta if beta is None else beta

    def classify(self) -> None:
        """Compute log q(y|x), and the weight of each label: q(y|x), or 1 at a known one."""
        self.image[...] = self.x[:, : self.pixels]
        self.classifier.forward()
        self.weigh_labels()

    def weigh_labels(self) -> None:
        """Compute what :meth:`classify` does, from the classifier's logits."""
        xp, known, largest = self.bk.xp, self.x[:, self.pixels :], self.row_tmp
        logits = self.classifier.y
        largest.fill(0)
        xp.max(logits.real, axis=1, keepdims=True, out=largest.real)
        xp.subtract(logits, largest, out=self.log_q)
        xp.exp(self.log_q, out=self.q)
        xp.sum(self.q, axis=1, keepdims=True, out=largest)
        self.q /= largest
        xp.log(largest, out=largest)
        self.log_q -= largest
        xp.sum(known, axis=1, keepdims=True, out=self.unknown)
        xp.subtract(1.0, self.unknown, out=self.unknown)
        xp.multiply(self.q, self.unknown, out=self.weight)
        self.weight += known

    def _make_rows(self) -> None:
        """Every image beside each of the labels: the rows of the conditional model."""
        rows = self.given.x.reshape(-1, self.vae.samples, self.vae.pixels)
        rows[:, :, : self.pixels] = self.image[:, None]
        rows[:, :, self.pixels :] = self.each_label

    def _value(self) -> None:
        """Σ_y w_y (L(x, y) + log w_y), and −α log q(y|x) of a known label  (E223, E224).

        A known label has the weight 1, whose logarithm is 0; the others of its image have 0.
        """
        xp, known, C = self.bk.xp, self.x[:, self.pixels :], self.vae.samples
        # terms = L + log q: what an unknown label costs
        xp.multiply(self.log_q, self.unknown, out=self.terms)
        self.terms += self.given.objective.reshape(-1, C)
        self.terms += math.log(C)  # −log p(y)
        xp.multiply(self.terms, self.weight, out=self.q)
        xp.sum(self.q, axis=1, out=self.objective)
        xp.multiply(self.log_q, known, out=self.q)
        self.q *= -self.vae.classifier_weight
        xp.sum(self.q, axis=1, keepdims=True, out=self.row_tmp)
        self.objective += self.row_tmp[:, 0]
        each = self.given.kl.reshape(self.kl_each.shape)
        xp.multiply(each, self.weight[:, :, None], out=self.kl_each)
        xp.sum(self.kl_each, axis=1, out=self.kl)

    def grad_classifier(self, weight: float) -> None:
        """The gradient with respect to the classifier's logits  (E225).

        q_y (c_y − Σ_k q_k c_k) with c = L + log q where the label is unknown, α (q − y) where it is
        known; both times ``weight``.
        """
        xp, known, dlogits = self.bk.xp, self.x[:, self.pixels :], self.classifier.dy
        # of an unknown label; its weight is q, and objective is Σ q c
        xp.subtract(self.terms, self.objective[:, None], out=dlogits)
        dlogits *= self.weight
        dlogits *= self.unknown
        xp.exp(self.log_q, out=self.q)
        self.q -= known
        xp.subtract(1.0, self.unknown, out=self.row_tmp)
        self.row_tmp *= self.vae.classifier_weight
        self.q *= self.row_tmp
        dlogits += self.q
        dlogits *= weight
