"""What a probe, attribution and forensics found, as tables and a figure."""
