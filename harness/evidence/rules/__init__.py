"""What each operator of ATen does to motion: transfer rules, by the operator's name."""
