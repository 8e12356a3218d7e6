"""Tokens of identity providers (JWT, OpenID Connect)."""
