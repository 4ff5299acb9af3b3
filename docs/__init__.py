"""What commands read of the documentation: data, no code."""
