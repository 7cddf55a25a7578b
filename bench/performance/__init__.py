"""Figures that the project promises, each measured against a named peer. Run by `nox -s bench`, never by the tests."""
