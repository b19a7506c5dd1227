"""Methods that choose real training images."""
