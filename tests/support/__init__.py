"""What several test files share: writers of test images, and servers to read them from."""
