"""What the lab hands to its machines; nothing in here is imported by the lab itself."""
