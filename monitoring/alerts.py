"""Every alert."""

from __future__ import annotations

from monitoring.availability import AVAILABILITY
from monitoring.model import Alert
from monitoring.objectives import BURN_ALERTS
from monitoring.quality import QUALITY
from monitoring.saturation import SATURATION

ALERTS: tuple[Alert, ...] = (*AVAILABILITY, *BURN_ALERTS, *QUALITY, *SATURATION)


def threshold(name: str) -> float:
    """Returns the threshold of an alert, for a panel that draws it."""
    found = next(each for each in ALERTS if each.name == name)
    assert found.threshold is not None, f"{name} has no threshold"
    return found.threshold
