"""Whatever touches the disk: result rows, cached arrays, atomic writes, states of trainings, files of arrays."""
