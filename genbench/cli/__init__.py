"""The command line: parse, call one function, print."""

from genbench.cli.main import main

__all__ = ["main"]
