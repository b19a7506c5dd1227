"""Decoders that turn latents into images with the dataset's size and channels."""
