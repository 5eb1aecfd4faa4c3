//! Slow clients: five thousand of each kind, each gone by its deadline, and what honest clients notice of them.

use anyhow::Result;

use crate::Settings;
use crate::rows::Rows;

mod deadlines;
mod rounds;

/// Clients of a kind, and those on the admin listener.
const CLIENTS: usize = 5000;
const ADMIN_CLIENTS: usize = 300;

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let (clients, admin) = (settings.count(CLIENTS, 500), settings.count(ADMIN_CLIENTS, 50));
    let counts = Counts { clients: clients.min(crate::proc::most_descriptors()? / 4), admin };
    deadlines::show(settings, rows, counts)?;
    rounds::show(settings, rows, counts)
}

/// How many of each kind.
#[derive(Clone, Copy)]
struct Counts {
    clients: usize,
    admin: usize,
}

impl Counts {
    fn of(self, kind: crate::crowd::Kind) -> usize {
        if kind.is_admin() { self.admin } else { self.clients }
    }
}
