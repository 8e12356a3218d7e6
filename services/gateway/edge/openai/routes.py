"""All routes of OpenAI's API."""

from __future__ import annotations

from services.gateway.edge.openai.chat import openai_routes

__all__ = ["openai_routes"]
