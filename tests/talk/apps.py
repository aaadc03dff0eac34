from django.apps import AppConfig


class TalkConfig(AppConfig):
    name = "tests.talk"
    label = "talk"

    def ready(self):
        from tests.talk.listings import binding  # noqa: F401, PLC0415 - as an app registers its bindings
