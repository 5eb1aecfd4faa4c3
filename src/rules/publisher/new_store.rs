//! The name of a store that is new.

use super::Publisher;
use crate::rules::error::StoreError;
use crate::rules::storage::Storage;

impl Publisher {
    /// Gives a store that is new its name: until then there is none for whoever opens it next. Does nothing to others.
    ///
    /// # Errors
    ///
    /// The system doesn't let it have the name.
    pub fn establish(&self) -> Result<(), StoreError> {
        self.storage.establish()
    }

    /// Takes a store away that is new and has no name yet, so that nothing is left of it. Does nothing to others.
    pub fn discard(self) {
        self.storage.discard();
    }
}
