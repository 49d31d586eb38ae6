"""The services: each owns a projection of the log, and none imports another."""
