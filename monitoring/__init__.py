"""What is watched, in one place: objectives, alerts with their runbooks, and dashboards.

`python -m monitoring` writes from it what Prometheus, Grafana, Kubernetes and people on call read.
"""
