"""The demo leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_demo_with_its_service_and_its_folder(number: signal.Signals) -> None:
    """After SIGTERM or Ctrl-C nobody listens any more and the temporary folder is gone."""
    with subprocess.Popen(
        [sys.executable, "-m", "service.cli", "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        shown = ""
        for line in demo.stdout:
            shown += line
            if "Ctrl-C ends." in line:
                break
        demo.send_signal(number)
        status = demo.wait(30)

    found = re.search(r"The service is at (http://\S+)/v1 \(its configuration: (\S+)\)", shown)
    assert found is not None, shown
    assert status == 0
    assert not Path(found[2]).exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{found[1]}/healthz", trust_env=False, timeout=2)
