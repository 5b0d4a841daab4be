"""Begin a training, or go on with one: what the program and your own programs call."""

from collections.abc import Callable
from contextlib import nullcontext

from scratchvae.backend import Backend, get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset
from scratchvae.errors import ConfigError, RunError
from scratchvae.models import Model
from scratchvae.runs.folder import RunFolder
from scratchvae.runs.lock import alone
from scratchvae.training.loop import Loop, Training
from scratchvae.training.progress import Progress
from scratchvae.training.resume import changed_settings


def train(
    config: TrainConfig,
    dataset: Dataset,
    bk: Backend | None = None,
    run: RunFolder | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[int, Model], None] | None = None,
    checkpoint_every: int = 0,
    resume: bool = False,
) -> Training:
    """Train as the settings say, on ``bk`` or on the best device there is.

    With a run folder, its files are written as training goes, a checkpoint after every epoch and
    after every ``checkpoint_every`` steps of the run. ``resume`` goes on from the folder's latest
    checkpoint, or begins where there is none, and ends with the same bytes as a run that nobody
    interrupted; the settings must be the folder's. ``on_epoch`` is called with the number of each
    epoch and the model after it, before the checkpoint: so again for an epoch whose checkpoint a
    killed process did not come to write.

    Raises ``NonFiniteError`` when a loss stops being finite, and leaves the step that went wrong in
    the run folder, to be replayed; ``CheckpointError`` when a state cannot be written. The last
    good checkpoint stays. ``RunError`` and ``DataError`` say why a run cannot be resumed.
    Ctrl-C (or SIGTERM) ends it between two steps: the state is saved, and ``stopped`` says so.
    """
    if bk is None:
        bk = get_backend("auto", config.dtype)
    if bk.dtype.name != config.dtype:
        raise ConfigError(f"the settings say {config.dtype}, but the backend has {bk.dtype}")
    if not isinstance(checkpoint_every, int) or checkpoint_every < 0:
        raise ConfigError(f"checkpoint_every is {checkpoint_every!r}, but it must be 0, 1, 2, …")
    progress = progress or Progress()
    if resume and run is None:
        raise RunError("only a run with a folder can be resumed")
    with nullcontext() if run is None else alone(run.path):
        saved = None
        if run is not None and not resume and run.metrics_path.exists():
            raise RunError(f"{run.path} holds a run already: resume=True goes on with it")
        if run is not None and resume:
            run.sweep()
            other = changed_settings(run.config(), config)
            if other:
                raise RunError(f"{run.path} has other settings: {'; '.join(other)}")
            saved = run.latest(progress.note)
        loop = Loop(config, dataset, bk, run, progress, on_epoch, checkpoint_every, saved)
        if run is not None and resume:
            loop.go_on(run, saved)
        return loop.run_all()
