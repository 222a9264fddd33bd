// Whether texts parse: reads one JSON string a line from standard input and
// answers `true` or `false`.
import { createInterface } from "node:readline";
import { parser } from "@prometheus-io/lezer-promql";

let answers = [];
for await (const line of createInterface({ input: process.stdin })) {
  let good = true;
  parser.parse(JSON.parse(line)).iterate({
    enter: (node) => {
      good &&= !node.type.isError;
      return good;
    },
  });
  answers.push(good);
  if (answers.length === 1000) {
    process.stdout.write(answers.join("\n") + "\n");
    answers = [];
  }
}
process.stdout.write(answers.map((one) => `${one}\n`).join(""));
