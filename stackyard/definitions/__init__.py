"""VM definitions: YAML in, checked values out."""
