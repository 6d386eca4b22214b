// Families that were counted elsewhere, as prom-client's registry takes them.

/** As `metrics()` of the native door answers them. */
export type Family =
  | { name: string; help: string; type: 'counter' | 'gauge'; samples: { labels: Labels; value: number }[] }
  | { name: string; help: string; type: 'histogram'; samples: HistogramSample[] };

export type Labels = Record<string, string>;

interface HistogramSample {
  labels: Labels;
  /** Upper bound and how many were at or below it. */
  buckets: [number, number][];
  sum: number;
  count: number;
}

/** The part of a prom-client metric that its registry calls. */
export function exposed(family: Family) {
  const values =
    family.type === 'histogram' ? family.samples.flatMap(sample => spread(family.name, sample)) : family.samples;
  const { name, help, type } = family;
  return { name, get: async () => ({ name, help, type, values, aggregator: 'sum' }) };
}

function spread(name: string, { labels, buckets, sum, count }: HistogramSample) {
  return [
    ...buckets
      .filter(([le]) => Number.isFinite(le))
      .map(([le, value]) => ({ metricName: `${name}_bucket`, labels: { ...labels, le: String(le) }, value })),
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
