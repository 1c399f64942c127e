"""From a commit message to the plays to run and their hosts: pure, nothing of it meets a shell."""

from stackyard.routing.errors import RoutingError
from stackyard.routing.routes import (
    Route,
    configures,
    load_balancing,
    main_play,
    members,
    route,
    unfit,
)
from stackyard.routing.tags import is_name, near_misses, tagged_names

__all__ = [
    "Route",
    "RoutingError",
    "configures",
    "is_name",
    "load_balancing",
    "main_play",
    "members",
    "near_misses",
    "route",
    "tagged_names",
    "unfit",
]
