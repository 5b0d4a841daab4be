"""The folder of a run: its settings, its numbers, its checkpoints, its figures.

config.json       settings, data, machine and versions, written before the first step
metrics.jsonl     one JSON object per epoch
checkpoint.npz    the latest state
previous.npz      the state saved before it
damaged.npz       a latest state that could not be read, set aside when the run was resumed
best.npz          the state after the best epoch, where a validation split chose one
nonfinite.npz     the step in which an infinity or NaN appeared first, where one did
film.npz          a few images, reconstructed after more and more epochs
figures/          PNG and SVG
report.html       all of it on one page
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scratchvae.backend import Backend, get_backend
from scratchvae.config import TrainConfig
from scratchvae.data import Dataset
from scratchvae.errors import CheckpointError, ConfigError, DataError, OwnClassError, RunError
from scratchvae.models import VAE, Model
from scratchvae.runs.checkpoint import Checkpoint, load_checkpoint, restore, save_checkpoint
from scratchvae.runs.lock import FolderLock
from scratchvae.runs.metrics import append_line, read_lines
from scratchvae.storage.atomic import temporary_files, write_bytes
from scratchvae.types import Json, JsonView

PARTS = {"model": "a model", "optimizer": "an optimizer"}  # that may be made in Python
KEPT = ("begun", "earlier")  # whatever a training that goes on says
RECORDED = ("config", "device", "machine", "versions", "kernel", "workers")  # for each stretch


class RunFolder:
    """A run on disk. ``RunError`` where the folder is not what it should be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FolderLock(path)
        self._created = False  # and still holding the lock since then
        self.pending: JsonView | None = None  # settings that a training will write

    config_path = property(lambda self: self.path / "config.json")
    metrics_path = property(lambda self: self.path / "metrics.jsonl")
    checkpoint_path = property(lambda self: self.path / "checkpoint.npz")
    previous_path = property(lambda self: self.path / "previous.npz")
    damaged_path = property(lambda self: self.path / "damaged.npz")
    best_path = property(lambda self: self.path / "best.npz")
    snapshots_path = property(lambda self: self.path / "film.npz")
    figures_path = property(lambda self: self.path / "figures")
    last_figure_path = property(lambda self: self.figures_path / "losses.png")
    report_path = property(lambda self: self.path / "report.html")

    @classmethod
    def create(cls, path: str | Path, settings: JsonView) -> "RunFolder":
        """A new folder with its config.json; refuses a folder that holds anything already.

        ``settings``: what config.json is to say, at least ``{"config": config.to_json()}``.

        It is locked before anything in it is touched, and stays locked until a training in it
        ends, or the object does: of two processes that choose one folder at the same moment, one
        gets it. A config.json alone counts as nothing: it is what remains of a run that ended
        before its first checkpoint.
        """
        path = Path(path)
        run = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            run._lock.acquire()
            try:
                ours = {run.config_path, *run.temporary_files()}
                if not ours.issuperset(path.iterdir()):
                    require_free(path)
                run.remove_temporary_files()
                write_json(run.config_path, settings)
            except BaseException:
                run._lock.release()
                raise
        except OSError as error:
            raise RunError(f"{path} cannot hold a run: {error.strerror or error}") from error
        run._created = True
        return run

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock while a training writes into it; takes over that of `create`."""
        if not self._created:
            self._lock.acquire()
        self._created = False
        try:
            yield
        finally:
            self._lock.release()

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """An existing run."""
        run = cls(Path(path))
        if not run.config_path.is_file():
            raise RunError(f"{path} holds no run: there is no {run.config_path.name} in it")
        return run

    def settings(self) -> Json:
        """What config.json says, or will say as soon as a training continues with ``pending``."""
        written = self._written()
        if self.pending is None:
            return written
        return dict(self.pending) | {k: v for k, v in written.items() if k in KEPT}

    def _written(self) -> Json:
        try:
            settings = json.loads(self.config_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{self.config_path} cannot be read: {error}") from error
        fine = isinstance(settings, dict) and isinstance(settings.get("config"), dict)
        if not fine or not isinstance(settings.setdefault("data", {}), dict):
            raise RunError(f"{self.config_path} is no configuration of a run")
        return settings

    def config(self) -> TrainConfig:
        """The settings of the training; ``OwnClassError`` where a class in them is not found."""
        try:
            return TrainConfig.from_json(self.settings()["config"])
        except OwnClassError:  # nothing is wrong with the folder
            raise
        except ConfigError as error:
            raise RunError(f"{self.config_path} does not describe a run: {error}") from error

    def require_data(self, dataset: Dataset) -> None:
        """``DataError`` unless the run was trained on these data."""
        require_fingerprint(dataset, self.settings()["data"].get("fingerprint"), self.path)

    def machine(self) -> Json:
        """The machine that the run was on, as far as config.json says."""
        found = self._written().get("machine")
        return found if isinstance(found, dict) else {}

    def objective_since(self, config: TrainConfig, epoch: int) -> int:
        """How many of ``epoch`` completed epochs came before the last change of the objective.

        Losses before it can't be compared with those after it. ``config`` are the settings from
        this epoch on, which may be those of config.json. ``RunError`` where that is damaged.
        """
        written = self._written()
        try:
            stretches = [e for e in written.get("earlier", []) if "config" in e]
            changes = [(e.get("until_epoch", 0), objective_of(TrainConfig.from_json(e["config"])))
                       for e in stretches]  # fmt: skip
            changes.append((epoch, objective_of(TrainConfig.from_json(written["config"]))))
        except (ConfigError, TypeError, AttributeError) as error:
            raise RunError(f"{self.config_path} does not describe a run: {error}") from error
        after = [*(objective for _, objective in changes[1:]), objective_of(config)]
        ends = [until for (until, old), new in zip(changes, after, strict=True) if old != new]
        return max(ends, default=0)

    def commit_settings(self, step: int, epoch: int) -> None:
        """Write the pending settings; those of the first ``step`` steps stay under "earlier".

        ``epoch``: the epochs completed by then.
        """
        if self.pending is None:
            return
        old, new = self._written(), self.settings()
        moved = {key: old[key] for key in RECORDED if key in old and old[key] != new.get(key)}
        if moved and step:
            new["earlier"] = [
                *old.get("earlier", []),
                {"until_step": step, "until_epoch": epoch, **moved},
            ]
        if new != old:
            write_json(self.config_path, new)
        self.pending = None

    def append_metrics(self, metrics: JsonView) -> None:
        """Add the line of one epoch."""
        append_line(self.metrics_path, metrics)

    def metrics(self) -> list[Json]:
        """The lines of all epochs so far."""
        return read_lines(self.metrics_path)

    def has_begun(self) -> bool:
        """Whether a training has left anything here that another one would overwrite."""
        left = (self.metrics_path, self.checkpoint_path, self.previous_path)
        return any(path.exists() for path in left)

    def temporary_files(self) -> list[Path]:
        """What a process leaves that is killed while it writes one of the files of a run."""
        written = (self.config_path, self.metrics_path, self.checkpoint_path, self.best_path,
                   self.snapshots_path, self.report_path)  # fmt: skip
        figures = self.figures_path.glob(".*.[ps][nv]g.*.tmp")
        return [*figures, *(file for path in written for file in temporary_files(path))]

    def remove_temporary_files(self) -> None:
        """Remove what a killed process has left; needs the lock, lest it be a living one's."""
        for file in self.temporary_files():
            file.unlink(missing_ok=True)

    def save(self, checkpoint: Checkpoint, best: bool = False) -> None:
        """Write a checkpoint atomically; the one before it stays as previous.npz."""
        if best:
            save_checkpoint(self.best_path, checkpoint)
        else:
            save_checkpoint(self.checkpoint_path, checkpoint, self.previous_path)

    def latest(self, note: Callable[[str], object]) -> Checkpoint | None:
        """The newest state that is whole; None where there is none yet.

        Where checkpoint.npz is damaged, previous.npz takes its place, and ``note`` hears of it:
        the steps between the two will be done again, and come out alike.
        """
        if not self.checkpoint_path.exists() and not self.previous_path.exists():
            return None
        try:
            return load_checkpoint(self.checkpoint_path)
        except CheckpointError as error:
            try:
                before = load_checkpoint(self.previous_path)
            except CheckpointError:
                raise error from None
            if self.checkpoint_path.exists():
                os.replace(self.checkpoint_path, self.damaged_path)
            os.replace(self.previous_path, self.checkpoint_path)
            note(f"{error}; continuing from the checkpoint before it, of step {before.step}")
            return before

    def record_part(self, part: str, text: str) -> None:
        """Say in config.json that the "model" or "optimizer" was made in Python, and of what."""
        written = self._written()
        if written.get(part) != text:
            write_json(self.config_path, written | {part: text})

    def require_parts(self, **given: bool) -> None:
        """``RunError`` if a model or an optimizer made in Python is not given again."""
        written = self._written()
        for part, here in given.items():
            if not here and written.get(part) is not None:
                argument = {"model": "vae"}.get(part, part)
                raise RunError(
                    f"{self.path} was trained with {PARTS[part]} put together in Python, "
                    f"{written[part]}, which its settings cannot make again: put it together as "
                    f"before and pass it as {argument}"
                )

    def make_vae(self, pixels: int, vae: VAE | None = None) -> VAE:
        """The model of the run: the one that is given, or else as the settings describe it.

        ``RunError`` for a model that was put together in Python and is not given again.
        """
        self.require_parts(model=vae is not None)
        return self.config().make_vae(pixels) if vae is None else vae

    def load(self, bk: Backend, *, vae: VAE | None = None) -> tuple[Model, Checkpoint]:
        """The model of the best epoch where one was chosen, else of the last.

        ``vae``: the model itself, where the settings cannot make it (see :meth:`make_vae`).
        """
        config = self.config()
        best = self._best(config)
        path = self.checkpoint_path if best is None else self.best_path
        checkpoint = load_checkpoint(path) if best is None else best
        self.require_own(path, checkpoint)
        model = Model(self.make_vae(checkpoint.pixels, vae), bk, seed=config.seed)
        restore(path, checkpoint, "params", model.params)
        return model, checkpoint

    def restore_best(self, config: TrainConfig, model: Model) -> None:
        """Give a model of this run the parameters of the best epoch, where one was chosen."""
        best = self._best(config)
        if best is not None:
            restore(self.best_path, best, "params", model.params)

    def _best(self, config: TrainConfig) -> Checkpoint | None:
        """The state after the best epoch; None if none was chosen by the objective of now."""
        if not self.best_path.exists():
            return None
        best = load_checkpoint(self.best_path)
        return best if best.epoch > self.objective_since(config, 0) else None

    def require_own(self, path: Path, checkpoint: Checkpoint) -> None:
        """``CheckpointError`` unless the checkpoint has settings and data of this run.

        Settings that a file leaves out, being newer than it, are the defaults. A run that went on
        with other settings has the earlier ones in its config.json, too.
        """
        written = self._written()
        known = [self.settings()["config"], written["config"]]
        recorded, found = written["data"].get("fingerprint"), checkpoint.data.get("fingerprint")
        try:
            known += [e["config"] for e in written.get("earlier", []) if "config" in e]
            saved = TrainConfig.from_json(checkpoint.config)
            own = any(
                portable_settings(TrainConfig.from_json(config)) == portable_settings(saved)
                for config in known
            )
        except (ConfigError, TypeError, AttributeError):
            own = False
        if not own or (recorded is not None and found != recorded):
            raise CheckpointError(f"{path} belongs to another run than {self.config_path}")


def portable_settings(config: TrainConfig) -> Json:
    """The settings as JSON, with the name of a data file instead of the path on this machine."""
    return config.to_json() | {"data": Path(config.data).name}


# These define the loss on the validation split: other ones make it another number.
OF_THE_OBJECTIVE = (
    "binarize", "likelihood", "max_level", "std", "mean", "beta", "samples", "seed", "validation",
)  # fmt: skip


def objective_of(config: TrainConfig) -> Json:
    """The settings that losses must share to be compared."""
    settings = config.to_json()
    return {name: settings[name] for name in OF_THE_OBJECTIVE}


def require_fingerprint(dataset: Dataset, recorded: object, trained: Path) -> None:
    """``DataError`` unless the data have the fingerprint that ``trained`` was trained on."""
    if dataset.fingerprint != recorded:
        raise DataError(
            f"the data set {dataset.name} is not the one that {trained} was trained on: its "
            "fingerprint differs, and no setting can change that"
        )


def require_free(path: Path) -> None:
    """Raise ``RunError`` where ``path`` holds anything already."""
    try:
        if (path / "config.json").exists():
            raise RunError(f"{path} holds another run already: choose another --out")
        if path.exists() and any(path.iterdir()):
            raise RunError(f"{path} is not empty and holds no run: choose another --out")
    except OSError as error:
        raise RunError(f"{path} cannot hold a run: {error.strerror or error}") from error


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically, for people and programs."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


@contextmanager
def numbered_folder(parent: Path, stem: str) -> Iterator[Path]:
    """parent/stem-1, or the first number that is free: made here, so that no other process has it.

    Removed if it is still empty in the end. ``RunError`` where no folder can be made.
    """
    path, number, existed = parent / f"{stem}-1", 1, parent.exists()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while not _made(path):
            number += 1
            path = parent / f"{stem}-{number}"
    except OSError as error:
        raise RunError(f"{path} cannot hold a run: {error.strerror or error}") from error
    try:
        yield path
    finally:
        with suppress(OSError):  # it isn't empty
            path.rmdir()
            if not existed:
                parent.rmdir()


def _made(path: Path) -> bool:
    """Make a folder; False where the name is taken."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


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
