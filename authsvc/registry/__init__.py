"""HTTP to any distribution registry."""
