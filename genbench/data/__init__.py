"""The bundled datasets, one file per family; `genbench.catalogue` lists them."""
