"""Cases through a network and the rows that come of it; nothing is stored or summed up."""
