"""``python -m hema_stream.cli``."""

from hema_stream.cli import main

if __name__ == "__main__":
    main()
