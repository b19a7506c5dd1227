"""Decoders from latents to images of the dataset's size and channels."""
