"""The contract: every backend answers to the same calls as the base class."""

import inspect
from collections.abc import Iterator

import pytest

from scratchvae.backend.base import Backend
from scratchvae.backend.cpu import NumpyBackend
from scratchvae.backend.cuda import CupyBackend
from scratchvae.backend.strict import StrictBackend

BACKENDS = (NumpyBackend, StrictBackend, CupyBackend)
CONTRACT = {n for n, _ in inspect.getmembers(Backend, inspect.isfunction) if n[0] != "_"}


def overrides() -> Iterator[tuple[type, str]]:
    for backend in BACKENDS:
        for owner in backend.__mro__[:-1]:
            if owner is Backend:
                break
            for name, member in vars(owner).items():
                if callable(member) and not name.startswith("_") and hasattr(Backend, name):
                    yield backend, name


def shape_of_call(function: object) -> list[tuple]:
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [(p.name, p.kind, p.default) for p in parameters]


@pytest.mark.parametrize(("backend", "name"), sorted(set(overrides()), key=str))
def test_an_override_takes_the_same_arguments_as_the_base(backend, name):
    assert shape_of_call(getattr(backend, name)) == shape_of_call(getattr(Backend, name))


def test_the_comparison_of_signatures_sees_a_renamed_and_a_reordered_argument():
    def gemm(self, b, a, out): ...

    assert shape_of_call(gemm) != shape_of_call(Backend.gemm)


def test_the_comparison_covers_the_verbs_that_the_fast_backend_replaces():
    compared = {name for backend, name in overrides() if backend is NumpyBackend}
    assert compared >= {"gemm", "gemm_nt", "sum_rows", "gather", "windows"}


def test_every_call_of_the_contract_is_explained():
    assert {"gemm", "compute", "fused", "capture", "normal", "to_host"} <= CONTRACT
    assert not [name for name in CONTRACT if not inspect.getdoc(getattr(Backend, name))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_offers_nothing_that_the_contract_does_not_know(backend):
    public = {n for n, _ in inspect.getmembers(backend, inspect.isfunction) if n[0] != "_"}
    assert public - CONTRACT <= {"describe"}  # what a GPU says about itself, for result files


def test_a_backend_that_records_nothing_repeats_a_step_by_running_it():
    ran: list[int] = []
    repeat = NumpyBackend().capture(lambda: ran.append(1), times=3)
    repeat()
    repeat()
    assert len(ran) == 6
    assert not NumpyBackend().records_steps


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_is_complete_in_every_backend(backend):
    for name in ("load", "to_host"):  # the base leaves these open
        assert getattr(backend, name) is not getattr(Backend, name)
