"""The truth of sessions, messages and parts: what agents told us, and what people decided.

Reads SessionSynced, MessageSynced and its own decisions.
Writes SessionRenamed, SessionShared, SessionUnshared and SessionDeleted.
"""
