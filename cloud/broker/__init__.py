"""The broker that a small site's cloud starts for itself: Mosquitto as a child, or amqtt where there is none."""
