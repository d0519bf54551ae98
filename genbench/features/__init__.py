"""The bundled feature extractors, one file per family; `genbench.catalogue` lists them."""
