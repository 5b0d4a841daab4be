"""What must be the same for a run to go on to the bit, and what to say where it is not.

Nothing random is stored, so a run goes on exactly: the state is parameters, moments and the number
of the step. What is left are the settings, which must be the same unless somebody says otherwise,
and the machine, whose kernels add in their own order.
"""

from typing import Any

from scratchvae.backend import Backend
from scratchvae.config import TrainConfig
from scratchvae.errors import RunError
from scratchvae.runs.checkpoint import Checkpoint
from scratchvae.versions import kernel, versions

# These decide which images the rest of an epoch visits.
OF_AN_EPOCH = ("data", "subset", "validation", "batch_size", "shuffle", "seed")


def environment(bk: Backend, workers: int) -> dict[str, Any]:
    """What of the software decides about the last bits, and goes into every checkpoint."""
    about = bk.describe()
    found = versions() | {k: v for k, v in about.items() if k not in ("name", "memory")}
    if bk.name == "cuda":  # the device multiplies
        return {"versions": found, "kernel": about["name"], "workers": workers}
    blas = kernel()
    found["blas"] = blas["blas"]
    return {"versions": found, "kernel": blas["kernel"], "workers": workers}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What an environment or a machine was and is, in words, where these are known to differ."""
    words = []
    for name in sorted(set(before) & set(now)):
        old, new = before[name], now[name]
        if isinstance(old, dict) and isinstance(new, dict):
            words += differences(old, new)
        elif old != new:
            words.append(f"{name} was {old} and is {new}")
    return words


def changed_settings(old: TrainConfig, new: TrainConfig) -> list[str]:
    """The settings that differ, in words."""
    before, after = old.to_json(), new.to_json()
    return [f"{k} was {before[k]!r} and is {after[k]!r}" for k in before if before[k] != after[k]]


def require_same_epoch(checkpoint: Checkpoint, config: dict[str, Any]) -> None:
    """``RunError`` where the rest of an epoch would visit other images than its beginning."""
    moved = [name for name in OF_AN_EPOCH if checkpoint.config.get(name) != config[name]]
    if len(checkpoint.losses) and moved:
        raise RunError(
            f"the checkpoint is in the middle of epoch {checkpoint.epoch + 1}, whose images follow "
            f"from {', '.join(moved)}: these can change between two epochs only"
        )
