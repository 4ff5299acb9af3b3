"""How a board is shown: one page and tables, made of its entries alone."""
