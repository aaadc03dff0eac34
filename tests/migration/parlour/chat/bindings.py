from channels.binding.websockets import WebsocketBinding

from .models import Room


class RoomBinding(WebsocketBinding):
    model = Room
    stream = 'rooms'
    fields = ['slug', 'topic']

    @classmethod
    def group_names(cls, instance):
        return ['rooms']

    def has_permission(self, user, action, pk):
        return user.is_authenticated and action != 'delete'
