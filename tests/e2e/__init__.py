"""End to end, on AWS: `python -m tests.e2e`; pytest collects nothing here."""
