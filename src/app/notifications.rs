//! Notifications, by the settings.

use std::sync::Arc;

use super::AppError;
use crate::config::Settings;
use crate::files::private::IfMissing;
use crate::notifications::outbox::Outbox;
use crate::notifications::receiver::{PATIENCE, WebhookReceiver};
use crate::notifications::secret_file::SecretFile;
use crate::telemetry::events::EventFeed;
use crate::telemetry::metrics::Metrics;

/// The receiver of the settings; `None`: they name none.
///
/// # Errors
///
/// The file of its secrets can't be read or made, or has no secrets.
pub(super) fn receiver(
    settings: &Settings,
    if_missing: IfMissing,
) -> Result<Option<Arc<WebhookReceiver>>, AppError> {
    let Some(url) = settings.notify.url.clone() else { return Ok(None) };
    let secrets = SecretFile::open_or(&settings.notify.secret_file, if_missing)?;
    Ok(Some(Arc::new(WebhookReceiver::new(url, secrets, PATIENCE))))
}

/// The outbox, with its receiver.
pub(super) fn outbox(
    settings: &Settings,
    receiver: Option<Arc<WebhookReceiver>>,
    events: &Arc<EventFeed>,
    metrics: &Metrics,
) -> Arc<Outbox> {
    let outbox = Outbox::new(&settings.notify.path, Arc::clone(events), metrics.notifications.clone());
    outbox.set_receiver(receiver);
    outbox
}
