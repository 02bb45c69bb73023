"""Django Channels: a consumer that joins a group and talks to it."""

import django
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    INSTALLED_APPS=["channels"],
    ROOT_URLCONF="websocket_channels",
    SECRET_KEY="a test has no secrets",
)
django.setup()

urlpatterns: list[object] = []


class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept("chat" if "chat" in self.scope["subprotocols"] else None)

    async def receive_json(self, content):
        if content == "leave":
            await self.close(4001)
        else:
            await self.channel_layer.group_send("room", {"type": "said", "what": content})

    async def said(self, event):
        await self.send_json(event["what"])

    async def disconnect(self, code):
        await self.channel_layer.group_discard("room", self.channel_name)
        print(f"left with {code}", flush=True)


app = ProtocolTypeRouter(
    {"http": get_asgi_application(), "websocket": URLRouter([path("chat", Chat.as_asgi())])}
)
