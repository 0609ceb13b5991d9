"""The product, read once."""

from __future__ import annotations

import pytest

from tests.architecture.product import Product, product


@pytest.fixture(scope="session")
def house() -> Product:
    return product()
