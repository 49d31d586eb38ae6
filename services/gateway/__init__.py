"""The gateway: HTTP in, facts into the log, questions to the services.

Owns users and API keys. Writes SessionSynced, MessageSynced, UserRegistered,
ApiKeyIssued, ApiKeyRevoked and ApiKeyUsed; reads the last four back.
"""
