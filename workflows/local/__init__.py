"""The embedded default: engine, Lambda host and data stores of a laptop."""
