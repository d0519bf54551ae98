"""What can be named and how it is found: entry points, and the cards of what comes with genbench."""
