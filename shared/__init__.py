"""The contract between the services, and the plumbing under them; knows no service."""
