"""What runs around the Python: the data directory, nginx, the registry, and the supervisor that keeps them up.

Not here: HTTP, SQL, and anything about who may do what.
"""
