"""``python -m equibench``: the command line."""

from equibench.cli import main

if __name__ == "__main__":
    main()
