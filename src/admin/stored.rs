//! Stored documents, read a few at a time: many large ones take no more memory than a few.

use std::collections::VecDeque;
use std::iter;

use crate::rules::documents::Documents;
use crate::rules::error::StoreError;
use embedgate_policy::widget::{Widget, WidgetId};

/// How many documents are read at once.
const AT_ONCE: usize = 16;

/// All documents after this id, sorted by id.
pub(super) fn after(
    documents: &dyn Documents,
    mut after: Option<WidgetId>,
) -> impl Iterator<Item = Result<Widget, StoreError>> {
    let mut read = VecDeque::new();
    iter::from_fn(move || {
        if read.is_empty() {
            match documents.page(after.as_ref().map(WidgetId::as_str), AT_ONCE) {
                Ok(page) => read.extend(page),
                Err(error) => return Some(Err(error)),
            }
        }
        let widget: Widget = read.pop_front()?;
        after = Some(widget.id.clone());
        Some(Ok(widget))
    })
}
