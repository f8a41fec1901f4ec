"""Starters for two S3 servers that nobody in this project wrote and that verify signatures."""
