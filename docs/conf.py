"""Build the documentation site with Sphinx: `make docs`."""

project = "ddbench"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
# Headings up to this level can be linked to, as GitHub does it.
myst_heading_anchors = 3
exclude_patterns = ["runs"]
html_theme = "furo"
html_title = "ddbench"
html_show_copyright = False

# Single backquotes in docstrings are code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True
