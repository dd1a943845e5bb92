"""Sphinx configuration; `make docs` builds the site into docs/_build."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

import expnet

project = "expnet"
author = "The expnet developers"
copyright = author  # noqa: A001 (the name that Sphinx reads)
version = release = expnet.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "api_pages",
    "docstring_text",
    "schema_reference",
    "command_reference",
    "mathml",
]
exclude_patterns = ["_build", "gallery"]
# Field names such as "width" occur in several schemas; a type that is named so is not linked.
suppress_warnings = ["ref.python"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_dmath_double_inline = False
myst_dmath_allow_digits = False
# Single backquotes in docstrings are code: `ExpressionRegressor`.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
# The sidebar lists modules; with every method in it a build takes half as long again.
toc_object_entries = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "expnet"
html_static_path = ["_static"]
html_css_files = ["expnet.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
