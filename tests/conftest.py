"""Fixtures that tests of several folders share."""

from tests.kit.suite import suite

__all__ = ["suite"]
