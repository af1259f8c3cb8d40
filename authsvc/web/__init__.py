"""HTTP in, HTTP out. If an `if` here is not about HTTP, it is in the wrong file."""
