"""Render rows as text, tables and pages."""

# Formats of `tables.render`. They are defined here so that the command line can read them without
# importing the rendering code.
FORMATS = ("github", "plain", "csv", "latex", "json")
