"""Starters for three S3 servers that nobody in this project wrote and that verify signatures."""
