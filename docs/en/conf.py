"""Configuration of Sphinx."""

import warnings

warnings.filterwarnings("ignore")  # what mmdet says while it is imported

import mmtaformer  # noqa: E402

project = "mmtaformer"
author = "MMTAFormer contributors"
copyright = "MMTAFormer contributors"
release = version = mmtaformer.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "member-order": "bysource",
}
autodoc_typehints = "none"  # shapes and units stand in the docstrings
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"mmtaformer {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
