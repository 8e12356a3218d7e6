"""How much keys, users and tenants may use: rates, quotas and budgets that all replicas share."""
