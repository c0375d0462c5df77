"""Pages of results: one portfolio, several compared, a whole run."""
