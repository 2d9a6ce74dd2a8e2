"""Tests here get a database of each kind, and a provider over HTTP."""

import pytest

pytest.register_assert_rewrite("tests.middleware.conformance")

from tests.middleware.conformance import aimock  # noqa: E402 - rewritten before it is imported
from tests.support.databases import store, url  # noqa: E402

__all__ = ["aimock", "store", "url"]
