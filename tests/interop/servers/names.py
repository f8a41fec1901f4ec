"""Keys, region, bucket and host names that the servers are started with and the tests speak to."""

ACCESS_KEY_ID = "AKIAINTEROPTESTSERVER"
SECRET_ACCESS_KEY = "interop/secret+key%with$odd=characters"
REGION = "us-east-1"
BUCKET = "interop-bucket"
ACCELERATED = "s3-accelerate.amazonaws.com"
REGIONAL = f"s3.{REGION}.amazonaws.com"
