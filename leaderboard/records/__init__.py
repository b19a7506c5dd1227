"""Records of runs and the folders that store them."""
