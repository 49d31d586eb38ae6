"""The log's set-up: the server's configuration, and the stream as an admin step."""
