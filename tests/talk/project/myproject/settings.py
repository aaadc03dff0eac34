import os

SECRET_KEY = 'only for tests'
ALLOWED_HOSTS = ['127.0.0.1']
ROOT_URLCONF = 'myproject.urls'
INSTALLED_APPS = ['chancelery', 'myapp']
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}

CHANNEL_LAYERS = {
    'default': {
        'BACKEND': 'asgi_redis',
        'CONFIG': {'hosts': [os.environ['REDIS_URL']]},
        'ROUTING': 'myproject.routing',
    },
}
