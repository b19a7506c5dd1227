"""Measure a GPU without weights or data: `ddbench gpu-check`."""
