"""The REST interface under /api/v1, and the live WebSocket beside it."""
