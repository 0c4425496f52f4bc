"""An entry of `hosts`."""

from __future__ import annotations

from pydantic import Field, SecretStr

from service.config.strict import Address, Strict


class Host(Strict):
    """A machine or a cloud account that serves models."""

    address: Address = Field(description="Base URL, e.g. http://mini.local:11434 or https://api.openai.com/v1.")
    local: bool = Field(
        default=False,
        description="True for machines in your house. The reasoning tier never reaches a local deployment.",
    )
    memory_gb: float | None = Field(default=None, gt=0, description="Memory of the machine, for doctor and swaps.")
    watts: float = Field(default=0.0, ge=0, description="What an answer draws beyond idling, measured at the socket.")
    price_per_kwh: float = Field(default=0.0, ge=0, description="US dollars; with `watts` local answers have a price.")
    key: SecretStr | None = Field(default=None, description="API key, as os.environ/NAME.")

    @property
    def usd_per_s(self) -> float:
        """US dollars of electricity for each second of an answer."""
        return self.watts * self.price_per_kwh / 3.6e6
