"""Which versions, BLAS and threads a number was obtained with."""

import math
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np

from scratchvae import __version__
from scratchvae.types import Json

PACKAGES = ("scipy", "matplotlib", "scikit-learn", "threadpoolctl", "pooch", "numba")


def versions() -> dict[str, str]:
    """Of this package, Python and NumPy."""
    return {
        "scratchvae": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def commit() -> str | None:
    """The commit that the package's source is at, with a + if it was changed; None elsewhere."""
    command = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40")
    try:
        found = subprocess.run([*command, "--dirty=+"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def installed() -> dict[str, str]:
    """The versions of all packages that this one uses, as installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def blas() -> list[Json]:
    """The BLAS and thread pools that NumPy has loaded: name, version, kernel, threads."""
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))  # some are loaded by the first product
    keys = ("internal_api", "version", "architecture", "threading_layer", "num_threads")
    return [{key: pool[key] for key in keys if key in pool} for pool in threadpool_info()]


def kernel() -> dict[str, str]:
    """The BLAS that NumPy multiplies with: its name and version, and the kernel it has chosen."""
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    # SciPy brings a BLAS of its own; NumPy's lies in NumPy's folder, if it came with NumPy.
    pools.sort(key=lambda pool: not Path(pool["filepath"]).parent.name.startswith("numpy"))
    if not pools:
        return {"blas": "unknown", "kernel": "unknown"}
    name = f"{pools[0]['internal_api']} {pools[0].get('version')}"
    return {"blas": name, "kernel": str(pools[0].get("architecture", "unknown"))}


def machine() -> Json:
    """What of this machine may decide about a number's last bits: system, processor, cores."""
    system = f"{platform.system()} {platform.machine()}"
    return {"system": system, "processor": processor(), "cores": cores()}


def processor() -> str:
    """The processor's model, as its maker calls it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return models[0] if models else platform.machine()


def cores() -> int:
    """The cores that this process may use: those it is bound to, or its container's share."""
    if hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count() or 1
    return max(1, math.floor(min(bound, processor_quota())))


def processor_quota(groups: Path = Path("/sys/fs/cgroup")) -> float:
    """The processor time per second that the control group allows, in cores; infinity for any."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # v2, v1
        try:
            quota, period = " ".join((groups / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return math.inf
