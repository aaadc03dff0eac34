"""What an operator sees of an in-memory layer. The layer holds its lock meanwhile."""

from __future__ import annotations

from chancelery import names
from chancelery.layers._ledger import Parcel
from chancelery.layers._store import Store
from chancelery.layers.values import ChannelOverview, Overview


def overview(store: Store, now_ms: int) -> Overview:
    """See `base.ChannelLayer.overview`."""
    channels = sorted({*store.ledger.channels, *store.queues.channels})
    return Overview(
        now_ms=now_ms,
        channels=[_channel(store, channel, now_ms) for channel in channels],
        processes=[_process(store, process, now_ms) for process in sorted(store.mail.processes)],
        groups=store.groups.sizes(now_ms),
        leases=store.leases.overview(now_ms),
        busy_lanes=store.queues.busy_lanes,
        dead_letters=len(store.letters),
        counters=store.ledger.in_total(),
        delayed=len(store.timing),
    )


def channel_statistics(store: Store, channel: str, now_ms: int) -> dict[str, int]:
    """See `base.ChannelLayer.channel_statistics`."""
    mail = store.mail.find(names.process_of(channel))
    pending = mail.pending if mail else store.queues.pending(channel)
    oldest = mail.oldest if mail else store.queues.oldest(channel)
    age_ms = _age_ms(store, oldest, now_ms)
    return {
        **store.ledger.of_channel(channel),
        "messages_pending": pending,
        "messages_max_age": age_ms // 1000,
    }


def _channel(store: Store, channel: str, now_ms: int) -> ChannelOverview:
    age_ms = _age_ms(store, store.queues.oldest(channel), now_ms)
    counts = {} if "?" in channel else store.ledger.of_channel(channel)
    sent, full = counts.get("messages_count", 0), counts.get("channel_full_count", 0)
    return ChannelOverview(channel, store.queues.pending(channel), age_ms, sent, full)


def _process(store: Store, process: str, now_ms: int) -> ChannelOverview:
    mail = store.mail.of(process)
    return ChannelOverview(process, mail.unread, _age_ms(store, mail.oldest_unread, now_ms), 0, 0)


def _age_ms(store: Store, oldest: Parcel | None, now_ms: int) -> int:
    return now_ms - oldest.deadline_ms + store.expiry_ms if oldest else 0
