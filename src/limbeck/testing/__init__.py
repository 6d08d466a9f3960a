"""Conformance suites: what every member of a family promises, as functions that any test runner can call.

A module named after a family holds its `PROMISES`; a promise takes a member's name and raises `AssertionError` where
it is broken. limbeck's own tests run them over its folders; a package that adds a member by an entry point does the
same:

    import pytest
    from limbeck.testing.methods import PROMISES

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    def test_my_method(promise):
        promise("my-method")

`limbeck.errors.MissingExtra` says that an optional package is not installed: skip the test with that reason.
"""
