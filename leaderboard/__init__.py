"""Records of runs, and the tables and pages built from them. Imports no other package or torch."""
