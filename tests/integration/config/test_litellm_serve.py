"""The service started from an ordinary LiteLLM file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from typing import Any

import pytest
import yaml

from service.config.seed import shipped
from tests.house import House

MASTER = "sk-master"
HEADERS = {"authorization": f"Bearer {MASTER}"}


def _ordinary(document: dict[str, Any]) -> None:
    """Puts LiteLLM's form of the same house in the place of ours, pointed at the simulated hosts."""
    addresses = {name: host["address"] for name, host in document["hosts"].items()}
    cloud_key = document["hosts"]["openai"]["key"]
    file: dict[str, Any] = yaml.safe_load(shipped("litellm-two-macs.yaml").read_text(encoding="utf-8"))
    for entry in file["model_list"]:
        params = entry["litellm_params"]
        if "api_base" in params:
            params["api_base"] = addresses["mini" if "mini.local" in params["api_base"] else "macbook"]
        else:
            params |= {"api_base": addresses["openai"], "api_key": cloud_key}
    file["litellm_settings"]["master_key"] = MASTER
    document.clear()
    document.update(file)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Simulated hosts behind a service that was given LiteLLM's file; its store lies where it starts."""
    with chdir(tmp_path_factory.mktemp("start")), House(change=_ordinary) as running:
        yield running


def test_an_ordinary_litellm_file_starts_the_service(house: House) -> None:
    """Its tiers answer, its master key is asked for."""
    answered = house.ask("What is a closure in JavaScript?", headers=HEADERS)
    refused = house.ask("What is a closure in JavaScript?")

    assert answered.status_code == 200
    assert answered.headers["x-autotier-tier"] == "lightweight"
    assert answered.headers["x-autotier-deployment"] == "lightweight-mini"
    assert refused.status_code == 401


def test_a_long_prompt_stays_on_the_macbook_where_it_fits(house: House) -> None:
    """With num_ctx 8192 and max_tokens 8192 in the file, 5,000 tokens fit: max_tokens is no reserve."""
    text = "refactor this function " * 1250

    answered = house.ask(text, model="coding", headers=HEADERS)

    assert answered.status_code == 200
    assert answered.headers["x-autotier-deployment"] == "coding-local"


def test_what_changed_is_said_at_the_start(house: House) -> None:
    """The notes are in the service's log, line by line."""
    log = house.log()

    assert "litellm_settings.num_retries: 2 -> left out" in log
    assert MASTER not in log
