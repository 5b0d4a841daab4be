"""Which rank of which job a process is, as the launcher's variables of the environment say."""

import os
from collections.abc import MutableMapping
from typing import NamedTuple

# (rank, size, rank on this machine) as MPICH and its relatives, Open MPI and PMIx name them.
LAUNCHERS = (
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMIX_RANK", "SLURM_NTASKS", "SLURM_LOCALID"),
)
DEVICES = "CUDA_VISIBLE_DEVICES"


class Place(NamedTuple):
    """A rank, from 0, of ``size``; ``local``: its number among the ranks of its machine."""

    rank: int
    size: int
    local: int


def place(environment: MutableMapping[str, str] = os.environ) -> Place | None:
    """The place of this process in a job that mpiexec (or srun) started; None for any other."""
    for names in LAUNCHERS:
        rank, size, local = (environment.get(name, "") for name in names)
        if rank.isdecimal() and size.isdecimal() and int(rank) < int(size):
            return Place(int(rank), int(size), int(local) if local.isdecimal() else 0)
    return None


def choose_device(here: Place, environment: MutableMapping[str, str] = os.environ) -> None:
    """Show this rank one GPU alone: of those that it may use, the one of its local number.

    Must come before CuPy is imported. Where the variable is not set, the devices of a machine are
    as many as its ranks; with fewer, a rank finds none.
    """
    known = [name for name in environment.get(DEVICES, "").split(",") if name.strip()]
    if DEVICES in environment and not known:
        return  # all devices are hidden
    environment[DEVICES] = known[here.local % len(known)] if known else str(here.local)
