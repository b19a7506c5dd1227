"""Build the documentation site with Sphinx: `make docs`."""

project = "ddbench"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
# Headings up to this level can be linked to, as GitHub does it.
myst_heading_anchors = 3
exclude_patterns = ["runs"]
html_theme = "furo"
html_title = "ddbench"

# Single backquotes in docstrings are code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
