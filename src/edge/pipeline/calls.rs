//! Calls to the edge itself in the pipeline: for tickets, and with reports.

use http::Method;
use jiff::Timestamp;

use super::{Pipeline, RequestRecord};
use crate::edge::admission::client::ClientInfo;
use crate::edge::admission::judge::TicketCall;
use crate::edge::admission::reply::{Recipient, Reply};
use crate::edge::admission::request::is_preflight;
use crate::edge::setup::Setup;
use embedgate_policy::headers::cors;
use embedgate_policy::verdict::Class;

/// The methods of a call for a ticket.
const TICKET_METHODS: &str = "POST, OPTIONS";

impl Pipeline {
    /// The reply to a call for a ticket of this widget.
    pub(super) fn ticket_reply(
        &self,
        setup: &Setup,
        widget: &str,
        to: Recipient<'_>,
        record: &mut RequestRecord,
    ) -> Reply {
        let request = to.request;
        let is_preflight = is_preflight(request);
        if request.method != Method::POST && !is_preflight {
            return Reply::method_not_allowed(to, TICKET_METHODS);
        }
        match self.judge_with(setup, to, |judge| judge.ticket(&self.rules, widget, request, Timestamp::now()))
        {
            TicketCall::Ahead => Reply::not_shown(to),
            TicketCall::Denied(denied) => {
                record.is_told = self.verdicts.logs_denials();
                super::admit::denial(to, &denied, (Class::Session, false), record)
            }
            TicketCall::Granted { id, decision, embedder, ticket } => {
                record.decided = Some(id);
                let grant = cors(Class::Session, &decision, &embedder, false);
                match is_preflight {
                    true => Reply::preflight(to, grant, false),
                    false => Reply::ticket(to, ticket.as_deref(), setup.tickets.lifetime(), grant),
                }
            }
        }
    }

    /// The reply to a report about this widget, which says nothing, whatever the report is worth. Its body is not read:
    /// anybody could have written it.
    pub(super) fn report_reply(
        &self,
        setup: &Setup,
        widget: &str,
        to: Recipient<'_>,
        client: &ClientInfo,
        record: &mut RequestRecord,
    ) -> Reply {
        if to.request.method != Method::POST {
            return Reply::method_not_allowed(to, "POST");
        }
        let address = client.address(to.request, &setup.trusted_proxies);
        record.decided = self.judge_with(setup, to, |judge| {
            judge.report(&self.rules, widget, to.request, address, Timestamp::now())
        });
        Reply::no_content(to)
    }
}
