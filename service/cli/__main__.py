"""``python -m service.cli`` is ``autotier``."""

from service.cli.main import main

main()
