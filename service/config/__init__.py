"""The configuration: one YAML, validated strictly, frozen, secrets by environment reference."""

from service.config.model import Configuration, Deployment, Limits, TierSettings

__all__ = ["Configuration", "Deployment", "Limits", "TierSettings"]
