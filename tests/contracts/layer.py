"""The whole contract of `chancelery.layers.base`, for one layer."""

from tests.contracts.content import ContentContract
from tests.contracts.groups import GroupsContract
from tests.contracts.lanes import LanesContract
from tests.contracts.leases import LeasesContract
from tests.contracts.mail import MailContract
from tests.contracts.naming import NamesContract
from tests.contracts.processes import ProcessesContract
from tests.contracts.queues import QueuesContract


class ChannelLayerContract(
    NamesContract,
    ContentContract,
    QueuesContract,
    LanesContract,
    LeasesContract,
    GroupsContract,
    MailContract,
    ProcessesContract,
):
    """Subclass it as `Test…` with a `make_layer` fixture."""
