"""Which layer breaks equivariance, and which adaptive layer changed its choice."""
