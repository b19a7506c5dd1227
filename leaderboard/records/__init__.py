"""Records of runs, and the folders that keep them."""
