"""``python -m resilient_ws``: the command, where its script is not on the path."""

from resilient_ws.cli import main


if __name__ == "__main__":
    main()
