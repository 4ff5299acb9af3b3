"""What is registered and how names that users type find it; nothing here is built or run."""

from equibench._moved import public_names_of

__getattr__ = public_names_of("registry")
