"""From a generator or files to result rows, and what else a user can ask for: train, check, truncate."""
