"""A ledger -> the safety officer's page: one HTML file, from the ledger alone."""
