"""Small tools that every room stands on; they know nothing of networks, images or runs."""
