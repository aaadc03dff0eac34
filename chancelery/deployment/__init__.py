"""
The one Redis: from a URL to connections, scripts, prefixes and the settings that are derived from it.

Knows nothing of channels, messages or jobs. Can be imported by a settings module, before Django is set up.
"""

from chancelery.deployment.settings import Deployment

__all__ = ["Deployment"]
