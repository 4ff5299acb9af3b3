"""A board of networks measured alike: its settings, entries and standings, and what they decide.

An entry is one file. Nothing here knows how a board is shown.
"""
