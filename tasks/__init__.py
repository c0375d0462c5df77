"""One module for each Task state, named after it: a thin handler on a pure function."""
