"""The paper's tables and figures beside measured ones."""
