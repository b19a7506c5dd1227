"""Sweeps: many runs, made by workers on this machine or on a cluster.

A plan (`plan`) becomes a list of requests, and those that have a finished run are left out
(`finished`). The others are made in small tasks (`tasks`). The `coordinator` decides what is
submitted next to one of the `engines`.
"""
