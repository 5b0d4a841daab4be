"""What the tests of the estimators share."""

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def table() -> NDArray[np.float64]:
    """120 rows of 4 columns on scales of their own, which two hidden numbers explain."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(120, 2))
    x = np.stack([z[:, 0], z[:, 1], z[:, 0] * z[:, 1], z[:, 0] - z[:, 1]], axis=1)
    return (x + 0.1 * rng.normal(size=x.shape)) * [1.0, 10.0, 0.1, 1e3] + [0.0, 5.0, -1.0, 1e4]


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.float64]:
    """90 rows of 16 numbers in [0, 1]: a bright stripe somewhere."""
    rng = np.random.default_rng(1)
    centre = rng.uniform(3, 12, size=(90, 1))
    return np.exp(-0.5 * (np.arange(16) - centre) ** 2)
