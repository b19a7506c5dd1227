"""Rows as text, tables and pages."""
