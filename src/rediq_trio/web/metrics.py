"""A scrape, in Prometheus' text format or in OpenMetrics, which has exemplars."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import prometheus_client.core as client
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rediq_trio.values.histogram import Histogram
from rediq_trio.web.metric_table import METRICS, MetricKind, MetricRow, Scrape


@attrs.frozen(eq=False)
class _ScrapeCollector(Collector):
    """Passes the values of one scrape to a registry."""

    _scraped: Scrape

    def collect(self) -> Iterator[client.Metric]:
        for row in METRICS:
            family = _family(row, self._scraped)
            if family.samples:
                yield family


def _family(row: MetricRow, scraped: Scrape) -> client.Metric:
    """Return the series of one metric."""
    if row.kind is MetricKind.HISTOGRAM:
        histograms = client.HistogramMetricFamily(row.name, row.text, labels=row.labels)
        for labels, value in row.read(scraped):
            assert isinstance(value, Histogram)
            histograms.add_metric(labels, _buckets(value), value.total)
        return histograms
    if row.kind is MetricKind.INFO:
        infos = client.InfoMetricFamily(row.name.removesuffix("_info"), row.text)
        for labels, _ in row.read(scraped):
            infos.add_metric((), dict(zip(row.labels, labels, strict=True)))
        return infos
    family: client.CounterMetricFamily | client.GaugeMetricFamily
    if row.kind is MetricKind.COUNTER:
        family = client.CounterMetricFamily(row.name, row.text, labels=row.labels)
    else:
        family = client.GaugeMetricFamily(row.name, row.text, labels=row.labels)
    for labels, value in row.read(scraped):
        assert not isinstance(value, Histogram)
        family.add_metric(labels, value)
    return family


def _buckets(
    histogram: Histogram,
) -> list[tuple[str, float] | tuple[str, float, client.Exemplar]]:
    """Return the buckets with their bounds as text, the last one without a bound."""
    found: list[tuple[str, float] | tuple[str, float, client.Exemplar]] = []
    exemplars = histogram.exemplars.copy()
    bounds = [*map(str, histogram.bounds), "+Inf"]
    for number, (bound, count) in enumerate(zip(bounds, histogram.cumulative(), strict=True)):
        if (seen := exemplars.get(number)) is None or not count:
            found.append((bound, count))
        else:
            of_trace = {"trace_id": seen.trace_id}
            exemplar = client.Exemplar(of_trace, seen.value, seen.seen_at)
            found.append((bound, count, exemplar))
    return found


def exposition(scraped: Scrape, accept: str = "") -> tuple[bytes, str]:
    """Return a scrape with its media type: OpenMetrics if the header `Accept` asks for it, else text."""
    registry = CollectorRegistry()
    registry.register(_ScrapeCollector(scraped))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type
