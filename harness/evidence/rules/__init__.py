"""What each operator of ATen does to motion: transfer rules, by the operator's name.

``sliding`` has windows and padding, ``resampling`` what changes the grid, ``mixing`` reductions,
norms and attention, ``picking`` indexing and joining, ``regrouping`` reshapes and what works
element by element, ``adaptive`` the layers that choose their grid. ``table`` collects them.
"""
