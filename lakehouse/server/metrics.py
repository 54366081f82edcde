"""What the server counts of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("pairlake_requests", "Requests answered, by route and status.", ["route", "status"])
SECONDS = Histogram("pairlake_request_seconds", "Time to an answer, by route.", ["route"])
STEPS = Histogram("pairlake_search_seconds", "Time of each step of a search.", ["step"])
OPEN = Gauge("pairlake_requests_open", "Requests being answered now.")
REFUSED = Counter("pairlake_refused", "Requests refused before they were looked at.", ["why"])
