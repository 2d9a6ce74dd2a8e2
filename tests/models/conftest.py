"""What the tests of models share."""

from tests.support.aimock import aimock
from tests.support.alone import alone
from tests.support.weights import smollm2, wheels

__all__ = ["aimock", "alone", "smollm2", "wheels"]
