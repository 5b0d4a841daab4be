"""The code around the gradients that bugs are planted in: by module, with the tests that judge it.

Every function and method of a module is a target, so that a new one needs no line here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import CodeType, FunctionType, ModuleType

from scratchvae.selfcheck.mutation.mutants import mutants_of
from scratchvae.selfcheck.mutation.targets import TARGETS


@dataclass(frozen=True)
class Area:
    """Modules of one subject, and the files and folders of tests that must find a bug in them."""

    name: str
    modules: tuple[str, ...]  # below scratchvae
    tests: tuple[str, ...]  # below tests, the nearest first
    python_loops: bool = False  # whether its loops run as Python, where bugs can be planted


AREAS: tuple[Area, ...] = (
    Area("noise", ("backend.noise",), ("backend/test_noise.py",)),
    Area(
        "binarization",
        ("data.binarize", "data.subset"),
        ("data/test_binarize.py", "data/test_subset.py", "data/test_dataset.py",
         "training/test_training_stopping.py"),
    ),
    Area("initializers", ("layers.initializers",), ("layers/test_initializers.py",)),
    Area(
        "correlation",
        ("layers.correlation", "layers.grid"),
        ("layers/test_grid.py", "layers/test_conv_by_hand.py", "layers/test_conv.py"),
    ),
    Area(
        "schedules",
        ("optim.schedules",),
        ("optim/test_schedules.py", "latent/test_estimators.py"),
    ),
    Area(
        "likelihoods",
        ("likelihoods.base", "likelihoods.bernoulli", "likelihoods.gaussian",
         "likelihoods.categorical", "likelihoods.continuous_bernoulli"),
        ("likelihoods", "models/test_model.py", "evaluation/test_evaluation_noise.py",
         "training/test_training_config.py"),
    ),
    Area(
        "model",
        ("models.model", "models.inputs"),
        ("models/test_model.py", "models/test_inputs.py", "models/test_model_refusals.py",
         "models/test_vae_estimators.py", "models/test_model_file.py", "evaluation"),
    ),
    Area(
        "evaluation",
        ("evaluation.elbo", "evaluation.nll", "evaluation.interpolation", "evaluation.baselines",
         "evaluation.gradient_noise", "evaluation.units", "evaluation.classifier"),
        ("evaluation",),
    ),
    Area(
        "completion",
        ("evaluation.completion", "evaluation.masks", "models.posterior"),
        ("evaluation/test_completion.py", "studies/test_study_completion.py"),
    ),
    Area(
        "diagnosis",
        ("evaluation.information", "evaluation.diagnosis", "evaluation.findings"),
        ("evaluation/test_information.py", "evaluation/test_diagnosis.py"),
    ),
    Area(
        "disentanglement",
        ("evaluation.disentanglement", "data.sprites"),
        ("evaluation/test_disentanglement.py", "data/test_sprites.py"),
    ),
    Area(
        "resume",
        ("training.state", "training.prepared", "training.clock"),
        ("training/test_training_clock.py", "training/test_training_prepared.py",
         "training/test_training_start.py", "training/test_training_resume_checks.py",
         "training/test_training_resume.py", "training/test_training_stopping.py",
         "training/test_training_loop.py", "training/test_training_same_bits.py"),
    ),
    Area(
        "loops",
        ("backend.loops", "backend.compiled"),
        ("backend/test_compiled.py", "likelihoods/test_bernoulli_forms.py"),
        python_loops=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class ProgramMutant:
    """One bug planted in an area."""

    name: str  # "evaluation.units.is_active: a constant: 0 -> 1"
    area: str
    operator: str
    function: FunctionType
    code: CodeType

    def plant(self) -> None:
        """Put the bug in place for the rest of this process."""
        self.function.__code__ = self.code


def loops_in_python() -> None:
    """Take the loops as they are written, not as they were compiled, from now on."""
    from scratchvae.backend import loops

    for name, thing in vars(loops).copy().items():
        setattr(loops, name, getattr(thing, "py_func", thing))


def program_mutants(area: Area) -> list[ProgramMutant]:
    """The mutants of every function of an area, in a fixed order."""
    found = []
    for name in area.modules:
        module = import_module(f"scratchvae.{name}")
        for function in functions_of(module):
            label = f"{name}.{function.__qualname__}"
            found += [
                ProgramMutant(what, area.name, operator, function, code)
                for what, operator, code in mutants_of(function, label, program=True)
            ]
    return found


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """The functions and methods that a module's file defines, but for those that print.

    Nor those in which bugs are planted for the gradient checks.
    """
    gradients = {target.function for target in TARGETS}
    classes = [c for c in vars(module).values() if isinstance(c, type)]
    own = [c for c in classes if c.__module__ == module.__name__]
    seen = set()
    for holder in (module, *own):
        for thing in vars(holder).values():
            function = _unwrapped(thing)
            if function is None or function in seen or function in gradients:
                continue
            seen.add(function)
            here = function.__code__.co_filename == module.__file__
            if here and function.__name__ not in ("__repr__", "<lambda>"):
                yield function


def _unwrapped(thing: object) -> FunctionType | None:
    """The function in a property, a class method, or below decorators."""
    if isinstance(thing, property):
        thing = thing.fget
    elif isinstance(thing, classmethod | staticmethod):
        thing = thing.__func__
    while hasattr(thing, "__wrapped__"):
        thing = thing.__wrapped__
    return thing if isinstance(thing, FunctionType) else None
