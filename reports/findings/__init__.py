"""What a run's rows say, before anything is drawn or written."""
