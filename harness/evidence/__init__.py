"""What is known of all shifts of a network, and how: only what finds or proves that belongs here."""
