"""Baseline methods, which select real training images."""
