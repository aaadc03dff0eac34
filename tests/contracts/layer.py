"""The whole contract of `chancelery.layers.base`, for one layer."""

from tests.contracts.attempts import AttemptsContract
from tests.contracts.coalescing import CoalescingContract
from tests.contracts.content import ContentContract
from tests.contracts.deadletters import DeadLettersContract
from tests.contracts.delays import DelaysContract
from tests.contracts.groups import GroupsContract
from tests.contracts.lanes import LanesContract
from tests.contracts.leases import LeasesContract
from tests.contracts.mail import MailContract
from tests.contracts.naming import NamesContract
from tests.contracts.operators import OperatorsContract
from tests.contracts.postponed import PostponedContract
from tests.contracts.processes import ProcessesContract
from tests.contracts.queues import QueuesContract
from tests.contracts.reaping import ReapingContract


class ChannelLayerContract(
    NamesContract,
    ContentContract,
    QueuesContract,
    LanesContract,
    LeasesContract,
    ReapingContract,
    AttemptsContract,
    DeadLettersContract,
    GroupsContract,
    MailContract,
    ProcessesContract,
    OperatorsContract,
    DelaysContract,
    CoalescingContract,
    PostponedContract,
):
    """Subclass it as `Test…` with a `make_layer` fixture."""
