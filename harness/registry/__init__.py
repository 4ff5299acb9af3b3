"""What is registered and how names that users type find it; nothing here is built or run."""
