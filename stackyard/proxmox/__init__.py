"""Proxmox VE: read what is there, and carry out plans. The only room that speaks its API."""
