"""Which spans there are of a task, and of the task that it enqueues."""

import trio
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import rediq_trio as rediq
from rediq_trio.telemetry import OpenTelemetry

kept = InMemorySpanExporter()  # a program that is deployed has an exporter of OTLP here
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
tracer = provider.get_tracer("shop")
app = rediq.App(telemetry=OpenTelemetry(provider))


@app.task(queue="mail")
async def send_receipt(order: int) -> None:
    with tracer.start_as_current_span("render"):
        await trio.sleep(0.01)


@app.task(queue="orders")
async def place(order: int) -> None:
    rediq.current_task().enqueue_after(send_receipt.task(order))


def show(spans: list[ReadableSpan], parent: int | None = None, depth: int = 0) -> None:
    names = {span.context.span_id: span.name for span in spans}
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        if (span.parent.span_id if span.parent else None) == parent:
            links = [f"links to {names[link.context.span_id]}" for link in span.links]
            print("  " * depth + span.name, *links, sep="  --> ")
            show(spans, span.context.span_id, depth + 1)


async def main() -> None:
    async with rediq.serve(app, "memory://", queues=["orders", "mail"], burst=True) as server:
        with tracer.start_as_current_span("POST /orders"):
            await server.client.enqueue(place.task(7))
        await server.wait_stopped()
    show(list(kept.get_finished_spans()))


trio.run(main)
