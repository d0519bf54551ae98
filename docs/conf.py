"""How the documentation is built: `make docs`. Tables and the list of the API come from the catalogue as it is."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate

import genbench

project = "genbench"
release = version = genbench.__version__
copyright = "the authors of genbench, Apache-2.0"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax"]
html_theme = "furo"
html_title = f"genbench {release}"
html_static_path: list[str] = []
exclude_patterns = ["_build", "generated"]  # what is generated is included by pages
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
default_role = "code"
add_module_names = False


def setup(app):
    app.connect("builder-inited", lambda app: generate.write(Path(app.srcdir) / "generated"))
    app.connect("autodoc-process-docstring", lambda *event: generate.as_markup(event[-1]))
