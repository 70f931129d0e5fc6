"""Which fields of a conversation are secrets."""

LEFT_OUT_UNLESS_NAMED = frozenset({"callback_url", "conversation_url", "meeting_token"})
"""Fields that open a room or carry a user's own token."""
