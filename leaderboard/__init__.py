"""Records of runs, and the tables made of them. Imports nothing of the project, and no torch."""
