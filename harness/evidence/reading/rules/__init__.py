"""What each operator of ATen does to motion: transfer rules, by the operator's name.

``sliding`` has windows and padding, ``resampling`` what changes the grid, ``mixing`` reductions,
norms and attention, ``indexing`` indexing and joining, ``reshaping`` reshapes and permutations,
``pointwise`` what works element by element, ``adaptive`` the layers that choose their grid.
``table`` collects them.
"""
