"""Containers in network namespaces, what they do, and what faults do to them."""
