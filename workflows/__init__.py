"""Everything that starts, runs or watches a state machine."""
