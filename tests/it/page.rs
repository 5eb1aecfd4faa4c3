//! The operator's page.

mod checklist;
