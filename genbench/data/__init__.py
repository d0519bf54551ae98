"""The bundled datasets, one file per family; `genbench.plugins.bundled` lists them."""
