"""Who the program says it is; the lab's mirror stamps the version when it builds the executable."""

VERSION = "@VERSION@"
"""As K3s writes it: v1.33.5+k3s1."""

BUILD = "stand-in"
"""Where K3s names its commit."""
