"""The commands of ``equibench``, by what they are for."""
