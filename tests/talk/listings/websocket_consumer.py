from chancelery.generic import WebsocketConsumer


class MyConsumer(WebsocketConsumer):
    def connection_groups(self):
        return ['chat']

    def connect(self, message):
        pass

    def receive(self, text=None, bytes=None):
        self.send(text=text, bytes=bytes)
