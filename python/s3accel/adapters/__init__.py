"""Adapters: s3accel inside other libraries. Each module imports its library, and nothing here imports them.

`botocore` (boto3, aiobotocore, s3fs and whatever stands on them), and one module for each HTTP library.
"""
