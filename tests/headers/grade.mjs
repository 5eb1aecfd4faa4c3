/* Grades answers, given on standard input as JSON, by the analysers of MDN's HTTP Observatory and by Google's CSP
   evaluator: `node grade.mjs FOLDER`, where FOLDER holds their `node_modules`. Nothing is fetched: what the Observatory's
   own scanner would ask a site for comes with each answer.

   In:  [{ name, url, status, fields: [[name, value], …], body, plain: { status, location }, asked: { origin, fields } }, …]
        `plain`: the answer to the same address over http; `asked`: a preflight's embedder and the fields of its answer.
   Out: { name: { grade, findings: ["tool: what", …] }, … } */

import { existsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const installed = createRequire(join(process.argv[2], "node_modules", "from-here.js"));
const load = (module) => import(pathToFileURL(installed.resolve(module)));
const observatory = dirname(installed.resolve("@mdn/mdn-http-observatory/package.json"));

/* Its lists of preloaded hosts come from the network when it is installed. No host of a test is on one. */
const preloaded = join(observatory, "conf", "hsts-preload.json");
if (!existsSync(preloaded)) writeFileSync(preloaded, "{}\n");

const { ALL_TESTS } = await load("@mdn/mdn-http-observatory/src/constants.js");
const { Requests } = await load("@mdn/mdn-http-observatory/src/types.js");
const { parseHttpEquivHeaders } = await load("@mdn/mdn-http-observatory/src/retriever/utils.js");
const { MINIMUM_SCORE_FOR_EXTRA_CREDIT } = await load("@mdn/mdn-http-observatory/src/grader/charts.js");
const grader = await load("@mdn/mdn-http-observatory/src/grader/grader.js");
const { CspEvaluator, DEFAULT_CHECKS, STRICTCSP_CHECKS } = (await load("csp_evaluator")).default;
const { CspParser } = (await load("csp_evaluator/dist/parser.js")).default;
const { Severity, Type } = (await load("csp_evaluator/dist/finding.js")).default;

/* Fields as the analysers take them: a list where a name comes more than once. A browser enforces every policy; ours name
   no directive twice, so that one line says the same, and a directive that did come twice would be found. */
function headers(fields) {
  const lists = {};
  for (const [name, value] of fields) (lists[name.toLowerCase()] ??= []).push(value);
  const policies = lists["content-security-policy"];
  if (policies) lists["content-security-policy"] = [policies.join("; ")];
  return Object.defineProperty(lists, "get", { value: (name) => lists[name]?.[0] ?? null });
}

function requests(answer) {
  const url = new URL(answer.url);
  const plain = new URL(url);
  plain.protocol = "http:";
  const response = { status: answer.status, headers: headers(answer.fields), data: answer.body, verified: true };
  response.httpEquiv = parseHttpEquivHeaders(answer.body, url.href);
  const made = new Requests(url.hostname);
  made.session = { url, jar: undefined };
  made.resources.path = answer.body;
  const cors = { headers: headers(answer.asked.fields), request: { headers: { origin: answer.asked.origin } } };
  Object.assign(made.responses, { auto: response, https: response, http: { status: answer.plain.status, verified: true }, cors });
  made.responses.httpRedirects = [{ url: plain, status: answer.plain.status }];
  if (answer.plain.location) {
    made.responses.httpRedirects.push({ url: new URL(answer.plain.location, plain), status: answer.status });
  }
  return made;
}

/* As the Observatory counts: what is below its mark for a good answer, or costs points. */
function observe(answer, findings) {
  let [score, withExtra] = [100, 100];
  for (const test of ALL_TESTS) {
    const output = test(requests(answer));
    const modifier = grader.getScoreModifier(output.result);
    withExtra += modifier;
    if (modifier < 0) score += modifier;
    if (modifier < 0 || !output.pass) findings.push(`observatory: ${output.result}`);
    /* What its page on a site lists below the policy, and doesn't count. */
    for (const [flaw, found] of Object.entries(output.policy ?? {})) {
      const isGood = ["antiClickjacking", "defaultNone", "strictDynamic"].includes(flaw);
      if (found && !isGood) findings.push(`observatory: policy ${flaw}`);
    }
  }
  return grader.getGradeForScore(score >= MINIMUM_SCORE_FOR_EXTRA_CREDIT ? withExtra : score).grade;
}

function evaluate(policy, findings) {
  const checks = [...DEFAULT_CHECKS, ...STRICTCSP_CHECKS];
  for (const { type, severity, directive, value } of new CspEvaluator(new CspParser(policy).csp).evaluate([], checks)) {
    const what = [Severity[severity], Type[type], directive, value].filter(Boolean).join(" ");
    findings.push(`csp_evaluator: ${what}`);
  }
}

let input = "";
for await (const piece of process.stdin) input += piece;
const graded = {};
for (const answer of JSON.parse(input)) {
  const findings = [];
  const grade = observe(answer, findings);
  const policy = headers(answer.fields)["content-security-policy"];
  if (policy) evaluate(policy[0], findings);
  graded[answer.name] = { grade, findings: [...new Set(findings)].sort() };
}
console.log(JSON.stringify(graded));
