from chancelery.binding.websockets import WebsocketBinding

from tests.talk.models import IntegerValue


class IntegerValueBinding(WebsocketBinding):
    model = IntegerValue
    stream = 'intval'
    fields = ['name', 'value']

    def group_names(self, instance, action):
        return ['intval-updates']

    def has_permission(self, user, action, pk):
        return True
