"""``python -m genbench`` is the command line."""

from genbench.cli.main import main

main()
