"""What mkdocs needs beyond its configuration."""
