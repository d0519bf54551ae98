"""The bundled feature extractors, one file per family; `genbench.plugins.bundled` lists them."""
