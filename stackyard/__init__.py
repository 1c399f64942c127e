"""stackyard: YAML VM definitions in, running clusters and their kubeconfigs out."""

__version__ = "0.1.0"
