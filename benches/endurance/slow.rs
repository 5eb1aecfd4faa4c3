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
    deadlines::show(settings, rows, Counts::new(settings)?)
}

/// What honest clients notice of them.
pub fn show_beside(settings: &Settings, rows: &mut Rows) -> Result<()> {
    rounds::show(settings, rows, Counts::new(settings)?)
}

/// How many of each kind.
#[derive(Clone, Copy)]
struct Counts {
    clients: usize,
    admin: usize,
}

impl Counts {
    fn new(settings: &Settings) -> Result<Self> {
        let (clients, admin) = (settings.count(CLIENTS, 500), settings.count(ADMIN_CLIENTS, 50));
        Ok(Self { clients: clients.min(crate::proc::most_descriptors()? / 4), admin })
    }

    fn of(self, kind: crate::crowd::Kind) -> usize {
        if kind.is_admin() { self.admin } else { self.clients }
    }
}
