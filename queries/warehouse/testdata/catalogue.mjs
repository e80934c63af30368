// Runs every question of a folder by hand, as a person with a DuckDB client of
// their own does, and prints what went wrong: one line of JSON.
//
// Arguments: the folder that modules are found from, the module, the database,
// and the folder of questions.
import { createRequire } from 'node:module';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const [, , folder, module, database, questions] = process.argv;
const { DuckDBInstance } = createRequire(folder + '/')(module);
const connection = await (await DuckDBInstance.create(':memory:')).connect();
await connection.run(`ATTACH '${database}' AS wh (READ_ONLY)`);
await connection.run('USE wh');
await connection.run("SET VARIABLE month = '2026-10'");

const report = { asked: 0, wrong: [] };
const statements = readdirSync(questions).filter((name) => name.endsWith('.sql')).map((name) => readFileSync(join(questions, name), 'utf8'));
for (const statement of [...statements, "SELECT count(*) FROM booked_values_at(position_at('2026-10-15'))"]) {
  try {
    await connection.runAndReadAll(statement);
    report.asked++;
  } catch (e) {
    report.wrong.push(statement.slice(0, 80) + String(e));
  }
}
console.log(JSON.stringify(report));
process.exit(0);
