// A day's work of a control plane's engineer, with the client that openapi-typescript has made of the description.

import createClient from "openapi-fetch";
import type { components, paths } from "./embedgate-admin.js";

declare const process: { env: Record<string, string | undefined> };

type Schemas = components["schemas"];
type Problem = Schemas["Problem"];
type Event = Schemas["Event"];

const { EDGE, ADMIN, TOKEN } = process.env;
const LISTED = "https://www.site-7.example";
const headers = { Authorization: `Bearer ${TOKEN}` };
const client = createClient<paths>({ baseUrl: ADMIN!, headers });

function check(holds: boolean, what: unknown = ""): asserts holds {
  if (!holds) throw new Error(`not as expected: ${JSON.stringify(what)}`);
}

/** What was answered, which is no problem. */
function done<T>(answer: { data?: T; error?: unknown }): T {
  check(answer.error === undefined && answer.data !== undefined, answer.error);
  return answer.data;
}

/** The problem that was answered, typed by the description. */
function refused(answer: { error?: Problem; response: Response }, status: number, code: string): Problem {
  check(answer.response.status === status && answer.error?.code === code, answer.error);
  return answer.error;
}

type BatchQuery = NonNullable<paths["/v1/batch"]["post"]["parameters"]["query"]>;

function batch(lines: Schemas["BatchLine"][], query: BatchQuery = {}) {
  return client.POST("/v1/batch", {
    params: { query },
    headers: { "Content-Type": "application/x-ndjson" },
    body: lines.map((line) => JSON.stringify(line) + "\n").join(""),
    bodySerializer: (body) => body,
  });
}

/** Answers of a batch come in two kinds. */
function applied(answer: Schemas["BatchResult"] | Schemas["BatchTrial"]): Schemas["BatchResult"] {
  check("applied" in answer, answer);
  return answer;
}

class Events {
  lastId = "";
  private text = "";
  private constructor(private reader: ReadableStreamDefaultReader<string>) {}

  static async open(
    query: NonNullable<paths["/v1/events"]["get"]["parameters"]["query"]>,
    lastId?: string,
  ): Promise<Events> {
    const header = lastId === undefined ? {} : { "Last-Event-ID": lastId };
    const { data } = await client.GET("/v1/events", { params: { query, header }, parseAs: "stream" });
    check(data !== undefined && data !== null);
    const stream = data as unknown as ReadableStream<Uint8Array<ArrayBuffer>>;
    const events = new Events(stream.pipeThrough(new TextDecoderStream()).getReader());
    check((await events.next("the start of a stream")).kind === "listening");
    return events;
  }

  async next(awaited: string): Promise<Event> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no event within 30 seconds: ${awaited}`)), 30_000);
    });
    try {
      return await Promise.race([this.take(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private async take(): Promise<Event> {
    for (;;) {
      const end = this.text.indexOf("\n\n");
      if (end < 0) {
        const { done, value } = await this.reader.read();
        check(!done, "the stream has ended");
        this.text += value;
        continue;
      }
      const lines = this.text.slice(0, end).split("\n");
      this.text = this.text.slice(end + 2);
      const field = (name: string) => lines.find((line) => line.startsWith(name + ": "))?.slice(name.length + 2);
      this.lastId = field("id") ?? this.lastId;
      const data = field("data");
      if (data !== undefined) return JSON.parse(data) as Event;
    }
  }

  close(): Promise<void> {
    return this.reader.cancel();
  }
}

async function visit(origin: string): Promise<number> {
  const answer = await fetch(`${EDGE}/w/site-7/loader.js`, { headers: { Origin: origin } });
  await answer.arrayBuffer();
  return answer.status;
}

const path = (id: string) => ({ path: { id } });

// A thousand customers come at once.
const documents: Schemas["WidgetDocument"][] = Array.from({ length: 1000 }, (_, number) => ({
  id: `site-${number}`,
  allowed_domains: [`site-${number}.example`, { pattern: `*.site-${number}.example`, note: "all of it" }],
  labels: { batch: "first" },
}));
const watching = await Events.open({ kind: ["swap", "refused"] });
const created = applied(done(await batch(documents.map((put) => ({ put })))));
check(created.applied === 1000 && created.removed === 0, created);
const swap = await watching.next("the swap of the first batch");
check(swap.kind === "swap" && swap.generation === created.generation, swap);
check(swap.changed.length === 100 && swap.changed_omitted === 900, swap);
check(swap.changed[0]?.actor === "token:control-plane", swap.changed[0]);

// All of them are there.
const seen: string[] = [];
let after: string | null | undefined;
do {
  const query = { limit: 300, label: ["batch:first"], ...(after ? { after } : {}) };
  const page = done(await client.GET("/v1/widgets", { params: { query } }));
  seen.push(...page.widgets.map((widget) => widget.id));
  after = page.next;
} while (after);
check(seen.length === 1000 && new Set(seen).size === 1000, seen.length);
const found = done(await client.GET("/v1/widgets", { params: { query: { domain: "shop.site-7.example" } } }));
check(found.widgets.length === 1 && found.widgets[0]?.id === "site-7", found);

// One is read, edited, and put back; whoever has read it before loses the race.
const read = await client.GET("/v1/widgets/{id}", { params: path("site-7") });
const etag = read.response.headers.get("etag")!;
const body = { ...done(read), public_trust_center: false };
check(etag === '"1"' && body.revision === 1, etag);
const put = (header: { "If-Match"?: string }, document: Schemas["WidgetDocument"]) =>
  client.PUT("/v1/widgets/{id}", { params: { ...path("site-7"), header }, body: document });
const saved = done(await put({ "If-Match": etag }, body));
check(saved.widget.revision === 2 && !saved.widget.public_trust_center, saved);
refused(await put({ "If-Match": etag }, body), 412, "precondition_failed");
refused(await put({}, { ...body, capabilities: ["chat"] }), 409, "stale_revision");
const other = refused(await put({}, { id: "other" }), 422, "invalid_document");
check(other.errors?.[0]?.pointer === "/id", other);

// The everyday changes.
const patched = done(
  await client.PATCH("/v1/widgets/{id}", {
    params: path("site-7"),
    headers: { "Content-Type": "application/merge-patch+json" },
    body: { labels: { team: "growth", batch: null } },
  }),
);
check(JSON.stringify(patched.widget.labels) === '{"team":"growth"}', patched);
const domains = (body: Schemas["DomainsDocument"]) =>
  client.POST("/v1/widgets/{id}/domains", { params: path("site-7"), body });
const partner = { pattern: "partner.example", note: "until spring" };
const listed = done(await domains({ add: ["shop.example", partner], remove: ["site-7.example"] })).widget;
const patterns = listed.allowed_domains.map((entry) => (typeof entry === "string" ? entry : entry.pattern));
check(patterns.join() === "*.site-7.example,shop.example,partner.example", patterns);
const wrong = refused(await domains({ add: ["*.co.uk"] }), 422, "invalid_document");
check(wrong.errors?.[0]?.pointer === "/add/0", wrong);
const question = { widget: "site-7", origin: "https://shop.example" };
check(done(await client.POST("/v1/explain", { body: question })).verdict === "allow");

// Half of the widgets are left out of a list by mistake: the brake holds it, and it is confirmed.
const half: Schemas["BatchLine"][] = documents.slice(0, 500).map((document) =>
  document.id === "site-7" ? { put: { id: "site-7", allowed_domains: ["site-7.example"] } } : { put: document },
);
const trial = done(await batch(half, { replace: true, dry_run: true }));
check("wide" in trial && trial.wide !== null && trial.wide !== undefined, trial);
const wide = refused(await batch(half, { replace: true }), 422, "wide_change").wide_change;
check(wide !== undefined && wide.widgets === 1000 && wide.deleted === 500, wide);
check(wide.confirm === trial.wide.confirm, trial);
refused(await batch(half, { replace: true, confirm: wide.confirm - 1 }), 422, "wide_change");
const replaced = applied(done(await batch(half, { replace: true, confirm: wide.confirm })));
check(replaced.removed === 500, replaced);

// One of them was no mistake, and one that was deleted has to come back.
const history = async (id: string) =>
  done(await client.GET("/v1/widgets/{id}/history", { params: path(id) })).history;
const past = await history("site-7");
check(past.map((entry) => entry.revision).join() === "5,4,3,2,1", past);
check(past.every((entry) => entry.actor === "token:control-plane"), past);
const revert = (id: string, revision: number) =>
  client.POST("/v1/widgets/{id}/revert", { params: path(id), body: { revision } });
const reverted = done(await revert("site-7", 4)).widget;
check(reverted.revision === 6, reverted);
check(JSON.stringify(reverted.allowed_domains) === JSON.stringify(listed.allowed_domains), reverted);
refused(await client.GET("/v1/widgets/{id}", { params: path("site-900") }), 404, "unknown_widget");
const deleted = (await history("site-900"))[0];
check(deleted?.revision === 2 && deleted.deleted === true, deleted);
check(done(await revert("site-900", 1)).widget.revision === 3);
refused(await revert("site-900", 9), 422, "unknown_revision");

// Who visits is watched; the connection breaks, and nothing is missed.
let decisions = await Events.open({ widget: "site-7", kind: ["decision", "swap"] });
check((await visit(LISTED)) === 200);
const first = await decisions.next("the decision on a listed site");
check(first.kind === "decision" && first.verdict === "allow" && first.embedder === LISTED, first);
await decisions.close();
check((await visit("https://stranger.example")) === 403);
const disabled = done(await client.POST("/v1/widgets/{id}/disable", { params: path("site-7") }));
check(disabled.durable && disabled.widget?.enabled === false, disabled);
check((await visit(LISTED)) === 403);
decisions = await Events.open({ widget: "site-7", kind: ["decision", "swap"] }, decisions.lastId);
const denied = await decisions.next("the decision on a stranger");
const stop = await decisions.next("the swap of the kill switch");
const late = await decisions.next("the decision after it");
check(denied.kind === "decision" && denied.embedder === "https://stranger.example", denied);
check(stop.kind === "swap" && stop.changed.map((changed) => changed.id).join() === "site-7", stop);
check(late.kind === "decision" && late.reason === "widget_disabled", late);
await decisions.close();
const lost = await Events.open({ kind: ["swap"] }, "00000000-1");
const lag = await lost.next("the lag after a restart");
check(lag.kind === "lagged" && lag.reason === "restarted", lag);
await lost.close();

// Who embeds.
const known = done(
  await client.GET("/v1/widgets/{id}/activity", { params: { ...path("site-7"), query: { stale_days: 90 } } }),
);
check(known.entries.map((use) => use.entry).join() === "*.site-7.example,shop.example,partner.example", known);
const proposal = done(await client.POST("/v1/widgets/{id}/propose", { params: path("site-7") }));
check(proposal.draft.id === "site-7" && proposal.draft.access === "enforce", proposal);
const onHost = await client.GET("/v1/activity", { params: { query: { host: "*.site-7.example", limit: 1000 } } });
check(done(onHost).next === null, onHost);
const noHost = await client.GET("/v1/activity", { params: { query: { host: "https://a.example/b" } } });
refused(noHost, 400, "invalid_parameter");

// What has happened is in the other stream, too, in its order.
const codes: string[] = [];
for (let generation = swap.generation; generation < replaced.generation; ) {
  const event = await watching.next("a swap or a refusal of the day");
  if (event.kind === "refused") codes.push(event.code);
  else check(event.kind === "swap" && event.generation === ++generation, event);
}
check(codes.slice(0, 2).join() === "precondition_failed,stale_revision", codes);
check(codes.slice(-2).join() === "wide_change,wide_change", codes);
await watching.close();

// The day ends.
const gone = applied(done(await batch([{ delete: { id: "site-1" } }, { delete: { id: "site-2" } }])));
check(gone.applied === 2, gone);
const last = done(await client.DELETE("/v1/widgets/{id}", { params: path("site-3") }));
check(last.revision === 2, last);
check(done(await client.GET("/v1/lint")).widgets === 498);
check(done(await client.GET("/v1/status")).widgets.total === 498);
refused(await client.GET("/v1/widgets", { params: { query: { limit: 100_000 } } }), 400, "invalid_parameter");
console.log("done");
