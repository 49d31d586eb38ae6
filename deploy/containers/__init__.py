"""The system in containers: what the compose file runs beside the services."""
