"""The Lambda functions in front of the state machine: one module for each way in."""
