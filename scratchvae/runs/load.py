"""A trained model from what is on disk: a run folder, or the file of a model."""

from pathlib import Path

from scratchvae.backend import get_backend
from scratchvae.models import VAE, Model
from scratchvae.runs.folder import RunFolder


def load(path: str | Path, *, device: str = "cpu", vae: VAE | None = None) -> Model:
    """The model of a run folder, or of a file that :meth:`Model.save` wrote.

    Of a run: the parameters after the best epoch where a validation split chose one, else the
    latest; its settings are ``RunFolder.open(path).config()``. ``device`` as in ``get_backend``,
    in the float type that the model had. ``vae``: the VAE itself, needed where it was put together
    by hand: of a run, or of a file whose classes are not this package's.

    Raises ``RunError``, ``CheckpointError`` or ``ConfigError`` for what cannot be read or does not
    fit.
    """
    path = Path(path)
    if path.is_dir():
        run = RunFolder.open(path)
        model, _ = run.load(get_backend(device, run.config().dtype), vae=vae)
        return model
    model = Model.load(path, vae=vae)
    return model if device == "cpu" else model.to(get_backend(device, model.bk.dtype))
