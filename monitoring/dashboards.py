"""Every dashboard."""

from __future__ import annotations

from monitoring.generation_dashboard import GENERATION
from monitoring.ingestion_dashboard import INGESTION
from monitoring.overview_dashboard import OVERVIEW
from monitoring.retrieval_dashboard import RETRIEVAL
from monitoring.tenants_dashboard import TENANTS

DASHBOARDS = (OVERVIEW, RETRIEVAL, GENERATION, INGESTION, TENANTS)
