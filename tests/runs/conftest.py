"""Tests here get a database of each kind."""

from tests.support.databases import store, url

__all__ = ["store", "url"]
