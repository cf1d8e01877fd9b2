"""Who may do what: bearer tokens with scopes, and one-time tickets for WebSockets."""

from hema_stream.service.auth.tickets import Tickets
from hema_stream.service.auth.tokens import Principal, Scope, TokenStore

__all__ = ["Principal", "Scope", "Tickets", "TokenStore"]
