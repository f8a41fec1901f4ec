"""Helpers of the tests that trust no code of the product."""
