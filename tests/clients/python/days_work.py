"""A day's work of a control plane's engineer, with the client that openapi-python-client has made of the description."""

import io
import json
import os
import time

import httpx
from embedgate_admin import AuthenticatedClient
from embedgate_admin.api.activity import activity, propose, widget_activity
from embedgate_admin.api.edge import status
from embedgate_admin.api.verdicts import explain, lint
from embedgate_admin.api.widgets import (
    apply_batch,
    change_domains,
    delete_widget,
    disable_widget,
    get_widget,
    list_widgets,
    patch_widget,
    put_widget,
    revert_widget,
    widget_history,
)
from embedgate_admin.models import (
    Access,
    ActivityOfWidget,
    ActivityPage,
    BatchLineDelete,
    BatchLinePut,
    BatchResult,
    BatchTrial,
    Capability,
    DeletionDocument,
    Disabled,
    DomainsDocument,
    EntryPattern,
    EventDecision,
    EventLagged,
    EventListening,
    EventRefused,
    EventSessionEnded,
    EventSwap,
    Explanation,
    Findings,
    MergePatch,
    MergePatchLabels,
    Problem,
    Proposal,
    Question,
    RevertRequest,
    Saved,
    Status,
    Verdict,
    Widget,
    WidgetDocument,
    WidgetDocumentLabels,
    WidgetHistory,
    WidgetPage,
)
from embedgate_admin.types import File

EDGE, ADMIN, TOKEN = (os.environ[name] for name in ("EDGE", "ADMIN", "TOKEN"))
LISTED = "https://www.site-7.example"

EVENTS = {
    "decision": EventDecision,
    "lagged": EventLagged,
    "listening": EventListening,
    "refused": EventRefused,
    "session_ended": EventSessionEnded,
    "swap": EventSwap,
}

client = AuthenticatedClient(base_url=ADMIN, token=TOKEN, raise_on_unexpected_status=True, timeout=httpx.Timeout(20))


def done(answer, kind):
    """The answer, which is of this kind and has nothing that its description does not know."""
    assert isinstance(answer, kind), answer
    assert not answer.additional_properties, answer
    return answer


def refused(answer, status, code):
    problem = done(answer.parsed, Problem)
    assert (answer.status_code, problem.status, problem.code) == (status, status, code), problem
    return problem


def batch(*lines, **query):
    text = "".join(json.dumps(line.to_dict()) + "\n" for line in lines)
    body = File(payload=io.BytesIO(text.encode()))
    return apply_batch.sync_detailed(client=client, body=body, **query)


class Events:
    """A stream of events, each of its own type."""

    def __init__(self, last_id=None, **query):
        headers = {"Last-Event-ID": last_id} if last_id else {}
        request = client.get_httpx_client().build_request("GET", "/v1/events", params=query, headers=headers)
        self.answer = client.get_httpx_client().send(request, stream=True)
        assert self.answer.status_code == 200, self.answer.read()
        self.lines = self.answer.iter_lines()
        assert isinstance(self.next("the start of a stream"), EventListening)

    def next(self, awaited):
        try:
            return self.take(time.monotonic() + 30)
        except (httpx.TimeoutException, TimeoutError) as late:
            raise AssertionError(f"no event within 30 seconds: {awaited}") from late

    def take(self, deadline):
        kind = data = ""
        # Messages without data come every 15 seconds.
        for line in self.lines:
            if time.monotonic() > deadline:
                raise TimeoutError
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data += value
            elif line == "" and data:
                return done(EVENTS[kind].from_dict(json.loads(data)), EVENTS[kind])
        raise AssertionError("the stream has ended")


def visit(origin):
    return httpx.get(f"{EDGE}/w/site-7/loader.js", headers={"Origin": origin}).status_code


# A thousand customers come at once.
documents = [
    WidgetDocument(
        id=f"site-{number}",
        allowed_domains=[f"site-{number}.example", EntryPattern(pattern=f"*.site-{number}.example", note="all of it")],
        labels=WidgetDocumentLabels.from_dict({"batch": "first"}),
    )
    for number in range(1000)
]
watching = Events(kind=["swap", "refused"])
result = done(batch(*map(BatchLinePut, documents)).parsed, BatchResult)
assert (result.applied, result.removed) == (1000, 0)
swap_of_first = watching.next("the swap of the first batch")
assert (len(swap_of_first.changed), swap_of_first.changed_omitted) == (100, 900)
assert swap_of_first.generation == result.generation
assert swap_of_first.changed[0].actor == "token:control-plane", swap_of_first.changed[0]

# All of them are there.
seen, after = [], {}
while True:
    page = done(list_widgets.sync(client=client, limit=300, label=["batch:first"], **after), WidgetPage)
    seen += [widget.id for widget in page.widgets]
    if page.next_ is None:
        break
    after = {"after": page.next_}
assert sorted(seen) == sorted(document.id for document in documents)
[found] = done(list_widgets.sync(client=client, domain="shop.site-7.example"), WidgetPage).widgets
assert found.id == "site-7"

# One is read, edited, and put back; whoever has read it before loses the race.
answer = get_widget.sync_detailed("site-7", client=client)
widget, etag = done(answer.parsed, Widget), answer.headers["etag"]
assert (etag, widget.revision) == ('"1"', 1)
edited = WidgetDocument.from_dict(widget.to_dict())
edited.public_trust_center = False
saved = done(put_widget.sync("site-7", client=client, body=edited, if_match=etag), Saved)
assert (saved.widget.revision, saved.widget.public_trust_center) == (2, False)
refused(put_widget.sync_detailed("site-7", client=client, body=edited, if_match=etag), 412, "precondition_failed")
edited.capabilities = [Capability.CHAT]
refused(put_widget.sync_detailed("site-7", client=client, body=edited), 409, "stale_revision")
late = refused(put_widget.sync_detailed("site-7", client=client, body=WidgetDocument(id="other")), 422, "invalid_document")
assert late.errors[0].pointer == "/id"

# The everyday changes.
patch = MergePatch(labels=MergePatchLabels.from_dict({"team": "growth", "batch": None}))
saved = done(patch_widget.sync("site-7", client=client, body=patch), Saved)
assert saved.widget.labels.to_dict() == {"team": "growth"}, saved.widget
more = DomainsDocument(add=["shop.example", EntryPattern(pattern="partner.example", note="until spring")], remove=["site-7.example"])
saved = done(change_domains.sync("site-7", client=client, body=more), Saved)
assert [getattr(entry, "pattern", entry) for entry in saved.widget.allowed_domains] == [
    "*.site-7.example",
    "shop.example",
    "partner.example",
], saved.widget
wrong = refused(change_domains.sync_detailed("site-7", client=client, body=DomainsDocument(add=["*.co.uk"])), 422, "invalid_document")
assert wrong.errors[0].pointer == "/add/0", wrong
question = Question(widget="site-7", origin="https://shop.example")
assert done(explain.sync(client=client, body=question), Explanation).verdict == Verdict.ALLOW

# Half of the widgets are left out of a list by mistake: the brake holds it, and it is confirmed.
half = [BatchLinePut(document) for document in documents[:500] if document.id != "site-7"]
half.append(BatchLinePut(WidgetDocument(id="site-7", allowed_domains=["site-7.example"])))
trial = done(batch(*half, replace=True, dry_run=True).parsed, BatchTrial)
assert trial.wide.confirm >= 500, trial
held = refused(batch(*half, replace=True), 422, "wide_change")
wide = done(held.wide_change, type(trial.wide))
assert (wide.widgets, wide.deleted, wide.confirm) == (1000, 500, trial.wide.confirm), wide
refused(batch(*half, replace=True, confirm=wide.confirm - 1), 422, "wide_change")
result = done(batch(*half, replace=True, confirm=wide.confirm).parsed, BatchResult)
assert result.removed == 500

# One of them was no mistake, and one that was deleted has to come back.
past = done(widget_history.sync("site-7", client=client), WidgetHistory).history
assert [entry.revision for entry in past] == [5, 4, 3, 2, 1]
assert all(entry.actor == "token:control-plane" for entry in past)
reverted = done(revert_widget.sync("site-7", client=client, body=RevertRequest(revision=4)), Saved)
assert (reverted.widget.revision, reverted.widget.allowed_domains) == (6, saved.widget.allowed_domains)
refused(get_widget.sync_detailed("site-900", client=client), 404, "unknown_widget")
past = done(widget_history.sync("site-900", client=client), WidgetHistory).history
assert [(entry.revision, entry.deleted) for entry in past][0] == (2, True)
back = done(revert_widget.sync("site-900", client=client, body=RevertRequest(revision=1)), Saved)
assert back.widget.revision == 3
refused(revert_widget.sync_detailed("site-900", client=client, body=RevertRequest(revision=9)), 422, "unknown_revision")

# Who visits is watched; the connection breaks, and nothing is missed.
decisions = Events(widget="site-7", kind="decision,swap")
assert visit(LISTED) == 200
seen = decisions.next("the decision on a listed site")
assert (seen.verdict, seen.embedder, seen.widget) == (Verdict.ALLOW, LISTED, "site-7")
decisions.answer.close()
assert visit("https://stranger.example") == 403
disabled = done(disable_widget.sync("site-7", client=client), Disabled)
assert (disabled.durable, disabled.widget.enabled) == (True, False)
assert visit(LISTED) == 403
decisions = Events(widget="site-7", kind="decision,swap", last_id=decisions.last_id)
missed = "the decision on a stranger", "the swap of the kill switch", "the decision after it"
denied, swap, disabled_now = map(decisions.next, missed)
assert (denied.verdict, denied.embedder) == (Verdict.DENY, "https://stranger.example")
assert [changed.id for changed in swap.changed] == ["site-7"]
assert disabled_now.reason.value == "widget_disabled"
lost = Events(kind=["swap"], last_id="00000000-1").next("the lag after a restart")
assert isinstance(lost, EventLagged) and lost.reason.value == "restarted"

# Who embeds.
seen = done(widget_activity.sync("site-7", client=client, stale_days=90), ActivityOfWidget)
assert [use.entry for use in seen.entries] == ["*.site-7.example", "shop.example", "partner.example"], seen
proposal = done(propose.sync("site-7", client=client), Proposal)
assert (proposal.draft.id, proposal.draft.access) == ("site-7", Access.ENFORCE), proposal
page = done(activity.sync(client=client, host="*.site-7.example", limit=1000), ActivityPage)
assert page.next_ is None, page
refused(activity.sync_detailed(client=client, host="https://a.example/b"), 400, "invalid_parameter")

# What has happened is in the other stream, too, in its order.
told = [watching.next("a swap or a refusal of the day")]
while getattr(told[-1], "generation", 0) < result.generation:
    told.append(watching.next("a swap or a refusal of the day"))
codes = [event.code for event in told if isinstance(event, EventRefused)]
assert codes[:2] + codes[-2:] == ["precondition_failed", "stale_revision", "wide_change", "wide_change"], codes
generations = [event.generation for event in told if isinstance(event, EventSwap)]
assert generations == list(range(swap_of_first.generation + 1, result.generation + 1)), generations

# The day ends.
gone = [BatchLineDelete(DeletionDocument(id="site-1")), BatchLineDelete(DeletionDocument(id="site-2"))]
assert done(batch(*gone).parsed, BatchResult).applied == 2
assert delete_widget.sync("site-3", client=client).revision == 2
assert done(lint.sync(client=client), Findings).widgets == 498
assert done(status.sync(client=client), Status).widgets.total == 498
refused(list_widgets.sync_detailed(client=client, label=["a:b"], limit=100_000), 400, "invalid_parameter")
print("done")
