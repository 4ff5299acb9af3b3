"""What models and the process hold: found, noted, put back; nothing that computes with images."""
