"""Api: the REST API behind API Gateway."""
