"""``python -m genbench`` is the command line."""

from genbench.cli.entry import main

main()
