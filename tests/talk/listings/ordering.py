from chancelery.generic import WebsocketConsumer


class MyConsumer(WebsocketConsumer):
    http_user = True
    slight_ordering = True
    strict_ordering = False

    def connection_groups(self, **kwargs):
        return ['chat']
