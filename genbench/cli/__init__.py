"""The command line: parse, call one function, print."""

from genbench.cli.entry import main

__all__ = ["main"]
