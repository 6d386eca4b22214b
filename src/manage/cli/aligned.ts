// Lines whose cells stand below each other.

/** A cell that is wider does not move the column behind it in all other lines. */
const MAX_WIDTH = 60;

export function aligned(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((most, row) => Math.max(most, Math.min(MAX_WIDTH, (row[column] as string).length)), 0),
  );
  return rows.map(row => `  ${row.map((cell, column) => cell.padEnd(widths[column] as number)).join('  ')}`.trimEnd());
}
