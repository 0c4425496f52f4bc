"""The configuration: one YAML, validated strictly, frozen, secrets by environment reference.

The models stand here; `service.config.load` reads files.
"""

from service.config.model import Configuration, Deployment, Limits, TierSettings

__all__ = ["Configuration", "Deployment", "Limits", "TierSettings"]
