"""Tasks that come again and again: declared in code, and looked after at run time."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task("report", queue="reports")
async def report(kind: str) -> str:
    tick = rediq.current_task().metadata.get("rediq.tick")
    return f"{kind} report, {'for a tick' if tick else 'by hand'}"


app.schedule("nightly", rediq.Cron("0 2 * * *", "Europe/Paris"), report.task(kind="nightly"))
app.schedule("live", rediq.Every(0.2, overlap="skip"), report.task(kind="live"))


async def main() -> None:
    async with rediq.serve(app, "memory://", queues=["reports"]) as server:
        schedules = server.client.schedules()
        for info in await schedules.list():
            print(f"{info.name}: {info.description}")

        # The tick of "live" makes its task, whichever server sees it first.
        while (last := (await schedules.get("live")).last_task_id) is None:
            await trio.sleep(0.05)
        print(await server.client.task(last).result(timeout=10))

        handle = await schedules.trigger("nightly")
        print(await handle.result(timeout=10))

        await schedules.pause("live")
        print("paused:", (await schedules.get("live")).paused)

        await schedules.add("weekly", rediq.Cron("@weekly"), report.task(kind="weekly"))
        await schedules.remove("weekly")


trio.run(main)
