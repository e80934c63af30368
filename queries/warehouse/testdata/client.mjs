// Queries a warehouse in a loop with a DuckDB client of its own, as a finance
// analyst's tool does, until it is told to stop on standard input.
//
// Arguments: the folder that modules are found from, the module, the database,
// and "reattach" or "keep". Prints one line of JSON at the end: how many
// queries were asked, which published positions were seen, and what was wrong.
import { createRequire } from 'node:module';

const [, , folder, module, database, mode] = process.argv;
const { DuckDBInstance } = createRequire(folder + '/')(module);
const connection = await (await DuckDBInstance.create(':memory:')).connect();

// Each query sees one position: what the tables say of the readings and what
// the readings say must agree.
const question = `
SELECT CAST(p.position AS VARCHAR), CAST(p.reading_rows AS VARCHAR), CAST(p.reading_checksum AS VARCHAR),
  CAST(r.n AS VARCHAR), CAST(r.total AS VARCHAR), CAST(r.last < p.position AS VARCHAR),
  CAST((SELECT count(DISTINCT position) FROM wh.margins) AS VARCHAR),
  CAST((SELECT count(*) FROM wh.booked_values WHERE device = 'c1' AND channel = 'energy.import') AS VARCHAR),
  CAST((SELECT count(*) FROM wh.intervals WHERE part = 'mining' AND energy_milliwatt_hours IS NOT NULL) AS VARCHAR)
FROM wh.published p, (SELECT count(*) AS n, sum(value) AS total, max(position) AS last FROM wh.readings) r`;

let stop = false;
process.stdin.on('data', () => { stop = true; });
const report = { version: '', asked: 0, positions: [], wrong: [] };
report.version = String((await connection.runAndReadAll('SELECT version()')).getRows()[0][0]);
const use = report.version.startsWith('v1.1.') || report.version.startsWith('v1.0.');
const attach = async () => {
  await connection.run(`ATTACH '${database}' AS wh (READ_ONLY)`);
  if (use) await connection.run('USE wh');
};

await attach();
while (!stop) {
  try {
    if (mode === 'reattach' && report.asked > 0) {
      if (use) await connection.run('USE memory');
      await connection.run('DETACH wh');
      await attach();
    }
    const [position, rows, checksum, counted, total, below, drawn, booked, known] = (await connection.runAndReadAll(question)).getRows()[0];
    report.asked++;
    if (!report.positions.includes(position)) report.positions.push(position);
    if (rows !== counted || checksum !== total || below !== 'true' || drawn !== '1' || booked !== known) {
      report.wrong.push({ position, rows, counted, checksum, total, below, drawn, booked, known });
    }
  } catch (e) {
    report.wrong.push(String(e));
    if (report.wrong.length > 20) break;
  }
  await new Promise((r) => setTimeout(r, 1));
}
console.log(JSON.stringify(report));
process.exit(0);
