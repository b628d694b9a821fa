"""The tools that judge: one module each, all with the same face."""
