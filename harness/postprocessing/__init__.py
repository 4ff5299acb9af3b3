"""What is made of runs that are stored, without measuring anew: rescored, merged, told apart."""
