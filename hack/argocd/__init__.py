"""What is made for Argo CD."""
