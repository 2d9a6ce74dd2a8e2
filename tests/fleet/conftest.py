"""Tests here have workers in processes of their own, on a PostgreSQL database of their own."""

from tests.support.fleet import fleet

__all__ = ["fleet"]
