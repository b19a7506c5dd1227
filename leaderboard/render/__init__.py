"""Rows as text, tables and pages."""

# Of `tables.render`. Here, where the command line reads them without importing what makes tables.
FORMATS = ("github", "plain", "csv", "latex", "json")
