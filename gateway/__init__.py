"""The gateway: reads meters, keeps and signs what they say, obeys commands, sells and cuts off by itself."""
