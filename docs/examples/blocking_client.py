import rediq_trio as rediq

with rediq.connect_sync("embedded://") as client:
    email = rediq.Task("email:send", {"to": "a@example.com"}, queue="emails")
    handle = client.enqueue(email)
    print(handle.info().state)
    print(client.queue("emails").stats().pending)
    print(handle.cancel())
