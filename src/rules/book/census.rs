//! Counts of widgets by environment and access, kept up with every change so that metrics never walk the book.

use embedgate_policy::widget::{Access, Environment};

/// Counts of a book's widgets by environment and effective access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    production: ByAccess,
    staging: ByAccess,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ByAccess {
    open: usize,
    monitor: usize,
    enforce: usize,
}

impl Census {
    /// Widgets of this environment with this access, stated or from whether there is a list.
    pub fn widgets(&self, environment: Environment, access: Access) -> usize {
        let row = match environment {
            Environment::Production => &self.production,
            Environment::Staging => &self.staging,
        };
        match access {
            Access::Open => row.open,
            Access::Monitor => row.monitor,
            Access::Enforce => row.enforce,
        }
    }

    /// Widgets of this environment that any site may embed, as far as their own rules go: an edge whose
    /// configuration turns `open` off judges them by their lists all the same.
    pub fn unrestricted(&self, environment: Environment) -> usize {
        self.widgets(environment, Access::Open)
    }

    pub(super) fn add(&mut self, environment: Environment, access: Access) {
        *self.cell(environment, access) += 1;
    }

    /// Adds what another one has counted.
    pub(super) fn join(&mut self, other: &Self) {
        for environment in Environment::ALL {
            for access in Access::ALL {
                *self.cell(environment, access) += other.widgets(environment, access);
            }
        }
    }

    pub(super) fn subtract(&mut self, environment: Environment, access: Access) {
        let cell = self.cell(environment, access);
        *cell = cell.saturating_sub(1);
    }

    fn cell(&mut self, environment: Environment, access: Access) -> &mut usize {
        let row = match environment {
            Environment::Production => &mut self.production,
            Environment::Staging => &mut self.staging,
        };
        match access {
            Access::Open => &mut row.open,
            Access::Monitor => &mut row.monitor,
            Access::Enforce => &mut row.enforce,
        }
    }
}
