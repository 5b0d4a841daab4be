"""Which versions, BLAS and threads a number was obtained with."""

import os
import platform
from importlib import metadata
from typing import Any

import numpy as np

from scratchvae import __version__

PACKAGES = ("scipy", "matplotlib", "scikit-learn", "threadpoolctl", "pooch", "tqdm")


def versions() -> dict[str, str]:
    """Of this package, Python and NumPy."""
    return {
        "scratchvae": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def installed() -> dict[str, str]:
    """The versions of all packages that this one uses, as installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def blas() -> list[dict[str, Any]]:
    """The BLAS and thread pools that NumPy has loaded: name, version, kernel, threads."""
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))  # some are loaded by the first product
    keys = ("internal_api", "version", "architecture", "threading_layer", "num_threads")
    return [{key: pool[key] for key in keys if key in pool} for pool in threadpool_info()]


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
