"""The offline stand-in: synthetic images, served as S3 would serve the real ones."""
