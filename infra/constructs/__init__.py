"""One construct for each capability: what it is made of, and who may do what with it."""
