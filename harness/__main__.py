"""``python -m equibench``."""

from equibench.cli import main

if __name__ == "__main__":
    main()
