"""The routes, by what they are about. A docstring of a route speaks to its caller."""
