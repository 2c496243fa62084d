"""Taps to MQTT, in a process of its own: status, readings, interlock state, events; STOP with an answer.

What goes out never holds an amplitude, a delivery or a participant: whoever may read the broker stays blind.
An MQTT broker is no watchdog and no safe way to stop: a STOP counts when `interlock/ack` confirms it.
Give mosquitto `set_tcp_nodelay true`: without it a STOP was seen to take 47 ms (a delayed TCP ack), with it 4.
"""
