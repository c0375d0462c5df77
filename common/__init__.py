"""What every task shares: the mathematics, the models, the stores, errors and settings."""
