"""What a page adds to a table of names stays on that page."""

from unittest.mock import patch

import pytest

from scratchvae.optim import OPTIMIZERS


@pytest.fixture(autouse=True)
def table_of_optimizers():
    with patch.dict(OPTIMIZERS):
        yield
